package option_test

import (
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/internal/option"
)

func TestDefault(t *testing.T) {
	t.Parallel()
	for given, want := range map[time.Duration]time.Duration{
		0: time.Second, time.Minute: time.Minute, time.Millisecond: time.Millisecond,
	} {
		got := given
		if err := option.Default("Timeout", &got, time.Second, time.Millisecond, time.Minute); err != nil || got != want {
			t.Errorf("%v becomes %v, %v, want %v", given, got, err, want)
		}
	}
	for given, want := range map[int]string{
		-1: "Attempts is -1, but must be between 1 and 10 (0 means 3)",
		11: "Attempts is 11, but must be between 1 and 10 (0 means 3)",
	} {
		got := given
		if err := option.Default("Attempts", &got, 3, 1, 10); err == nil || err.Error() != want {
			t.Errorf("%d: got %v, want %s", given, err, want)
		}
	}
}
