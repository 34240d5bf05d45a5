package refcount_test

import (
	"errors"
	"testing"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/refcount"
)

func TestLastUserCloses(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	closed := 0
	r := refcount.New(func() error {
		closed++
		return failed
	})
	if !r.Acquire() {
		t.Error("Acquire = false with a user")
	}
	if err := r.Release(); err != nil || closed != 0 {
		t.Errorf("Release = %v with a user left, closed %d times", err, closed)
	}
	if err := r.Release(); err != failed || closed != 1 {
		t.Errorf("the last Release = %v, closed %d times", err, closed)
	}
	if r.Acquire() {
		t.Error("Acquire = true without a user")
	}
	if err := r.Close(); err != failed || closed != 1 {
		t.Errorf("Close = %v, closed %d times", err, closed)
	}
}
