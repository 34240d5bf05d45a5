package caio_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/caio"
)

func TestValidateForms(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	for body, want := range map[string][]string{
		`{"is_valid": true, "errors": []}`:                            nil,
		`{"is_valid": false, "errors": ["no version", {"loc": "x"}]}`: {"no version", `{"loc":"x"}`},
		`{"is_valid": false}`:                                         {"the contract is invalid; CAIO gives no reason"},
	} {
		problems, err := newClient(t, answering(200, "application/json", body), nil).Validate(t.Context(), ct)
		if diff := cmp.Diff(want, problems); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", body, err, diff)
		}
	}
}

// Register asks for a lease in whole seconds, and for none by default.
func TestRegisterAsksForALease(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	for name, test := range map[string]struct {
		opts *caio.RegisterOptions
		want int // seconds granted
	}{
		"nil":        {nil, 0},
		"zero":       {&caio.RegisterOptions{}, 0},
		"seconds":    {&caio.RegisterOptions{TTL: time.Minute}, 60},
		"rounded up": {&caio.RegisterOptions{TTL: 1500 * time.Millisecond}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := newClient(t, newRegistry(t, nil), nil).Register(t.Context(), ct, test.opts)
			if err != nil {
				t.Fatal(err)
			}
			if got.TTLSeconds != test.want {
				t.Errorf("TTLSeconds = %d, want %d", got.TTLSeconds, test.want)
			}
		})
	}
	_, err := newClient(t, newRegistry(t, nil), nil).Register(t.Context(), ct, &caio.RegisterOptions{TTL: -time.Second})
	if err == nil || !strings.Contains(err.Error(), "ttl_seconds") {
		t.Errorf("Register with a negative TTL: %v, want an error about ttl_seconds", err)
	}
}
