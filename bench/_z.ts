import zlib from "node:zlib";
import { compressSync, uncompressSync } from "lz4-napi";
import { loadTexts } from "./texts.ts";
const { lines } = loadTexts("/work/shared/corpus", 60000);
console.log(lines.length);
const C = zlib.constants as any;
const dictTrain = Buffer.from(lines.slice(0,200).join("\n")); // about 12KB
const test = lines.slice(20000);
function entry(i:number){ const t=Buffer.from(test[i]!); const h=Buffer.alloc(7); h[0]=1; h.writeUIntLE(1763740800000+i*13577,1,6); return Buffer.concat([h,t]); }
function blk(from:number,n:number, cols:boolean){ const es=Array.from({length:n},(_,k)=>entry(from+k)); 
 return Buffer.concat([Buffer.from([n]),...es.map((e,k)=>Buffer.concat([Buffer.from([4,1,1+k%3,4]),Buffer.from([e.length&127|128,e.length>>7]),...(cols?[]:[e])])),...(cols?es:[])]); }
const lv=(l:number,d?:Buffer)=>(b:Buffer)=>zlib.zstdCompressSync(b,{params:{[C.ZSTD_c_compressionLevel]:l,[C.ZSTD_c_contentSizeFlag]:0},...(d?{dictionary:d}:{})} as any);
const codecs: Record<string,(b:Buffer)=>Uint8Array>={lz4:(b)=>compressSync(b),lz4d:(b)=>compressSync(b,dictTrain),bz3:(b)=>Bun.zstdCompressSync(b,{level:3}),bz1:b=>Bun.zstdCompressSync(b,{level:1}),z3:lv(3),z3d:lv(3,dictTrain),bz9:b=>Bun.zstdCompressSync(b,{level:9}),bz15:b=>Bun.zstdCompressSync(b,{level:15}),bz19:b=>Bun.zstdCompressSync(b,{level:19}), def:b=>zlib.deflateRawSync(b)};
for (const n of [2,8,16,31,400,800,1600]) {
  for (const [name,f] of Object.entries(codecs)) {
    let raw=0,out=0; const t=performance.now(); let k=0; 
    const bs=[]; for(let i=0;i+n<12000&&k<300;i+=n,k++) bs.push(blk(i,n,true));
    const t0=performance.now(); const outs=bs.map(f); const dt=(performance.now()-t0)/bs.length;
    for(let i=0;i<bs.length;i++){raw+=bs[i]!.length;out+=Math.min(outs[i]!.length,bs[i]!.length);}
    let du=0; if(name.startsWith("bz")){const t1=performance.now(); for(const o of outs)Bun.zstdDecompressSync(o); du=(performance.now()-t1)/bs.length;} else if(name==="lz4"){const t1=performance.now(); for(const o of outs)uncompressSync(o as any); du=(performance.now()-t1)/bs.length;}
    else if(name=="lz4d"){const t1=performance.now(); for(const o of outs)uncompressSync(o as any,dictTrain); du=(performance.now()-t1)/bs.length;}
    console.log(n,name,"raw",(raw/bs.length)|0,"ratio",(out/raw).toFixed(3),"µs",(dt*1000).toFixed(0),"un",(du*1000).toFixed(0));
  }
}
