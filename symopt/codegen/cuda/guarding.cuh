// Around the kernels of a step with a guard. gate[2] is OPEN unless something was not finite; gate[3] counts the steps that
// were left out for that.

// After a rehearsal: closes the gate for this step.
extern "C" __global__ void __launch_bounds__(THREADS)
decide(u64* gate) {
  if (blockIdx.x == 0 && threadIdx.x == 0 && gate[0] == OPEN && gate[2] != OPEN) gate[0] = NONFINITE;
}

// After a step: opens the gate for the next one if this was left out (`skips`), else closes it if this was not finite.
// `counts`: whether steps that passed are counted here.
extern "C" __global__ void __launch_bounds__(THREADS)
settle(u64* gate, int skips, int counts) {
  if (blockIdx.x != 0 || threadIdx.x != 0) return;
  if (gate[0] == OPEN && counts) gate[1] = gate[1] + 1;
  if (skips && gate[0] == NONFINITE) {
    gate[0] = OPEN;
    gate[2] = OPEN;
    gate[3] = gate[3] + 1;
  } else if (!skips && gate[0] == OPEN && gate[2] != OPEN) {
    gate[0] = NONFINITE;
  }
}
