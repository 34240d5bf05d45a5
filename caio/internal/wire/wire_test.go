package wire_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
)

func TestBoundRoundTrip(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{}`, `{"min":0.9}`, `{"max":500,"min":-1}`, `{"seed_required":false}`, `{"type":"relative_max","max_ratio":1.5,"unit":"dB"}`,
	} {
		var want any
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		bound, err := wire.ParseBound(want)
		if diff := cmp.Diff(want, any(wire.Bound(bound))); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", text, err, diff)
		}
	}
	for _, value := range []any{nil, 0.9, "high", []any{}, map[string]any{"min": "0.9"}, map[string]any{"max": nil}, map[string]any{"seed_required": 1.0}} {
		if bound, err := wire.ParseBound(value); err == nil {
			t.Errorf("ParseBound(%v) = %+v, want an error", value, bound)
		}
	}
}

func TestCapabilities(t *testing.T) {
	t.Parallel()
	var got []wire.Capability
	err := json.Unmarshal([]byte(`["chat", {"type": "code", "accuracy": {"min": 0.9}}]`), &got)
	if diff := cmp.Diff([]string{"chat", "code"}, wire.Names(got)); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, text := range []string{`[""]`, `[{}]`, `[7]`, `[["chat"]]`, `[null]`} {
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%s was read as %q", text, got)
		}
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		" one\r\n\ttwo\x1b[2J \u0085three ": "one two [2J three",
		"\xff":                              "\uFFFD",
		strings.Repeat("ä", 30):             strings.Repeat("ä", 20) + "…",
	} {
		if got := wire.Clip(text, 20); got != want {
			t.Errorf("Clip(%q) = %q, want %q", text, got, want)
		}
	}
}
