package costtest

import (
	"runtime/metrics"
	"testing"
)

// Allocated returns the bytes that the process has allocated so far, freed ones included. Unlike
// runtime.ReadMemStats it does not stop the world, so fuzz targets can call it for each input.
func Allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// AllocatesAtMost fails the test if the process has allocated more than limit bytes when the
// returned function is called:
//
//	defer costtest.AllocatesAtMost(t, 64<<20)()
func AllocatesAtMost(t testing.TB, limit uint64) (check func()) {
	before := Allocated()
	return func() {
		t.Helper()
		if bytes := Allocated() - before; bytes > limit {
			t.Errorf("got %d KiB allocated, want at most %d KiB", bytes>>10, limit>>10)
		}
	}
}
