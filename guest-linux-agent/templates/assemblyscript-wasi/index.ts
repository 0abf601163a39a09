// NAME: says hello.

@external("wasi_snapshot_preview1", "fd_write")
declare function fdWrite(descriptor: u32, vectors: usize, count: u32, written: usize): u32;

const STDOUT: u32 = 1;

export function _start(): void {
  const text = String.UTF8.encode("Hello, world!\n");
  // One vector: where the text lies, and how long it is; behind it, how much was written.
  const vector = memory.data(12, 4);
  store<u32>(vector, changetype<usize>(text));
  store<u32>(vector, text.byteLength, 4);
  fdWrite(STDOUT, vector, 1, vector + 8);
}
