package header_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/header"
)

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	for field, want := range map[string]string{
		"abc":                    "abc",
		` "a b" `:                "a b",
		`"a\"b\\"`:               `a"b\`,
		"":                       "malformed",
		`"a`:                     "malformed",
		`"a" b`:                  "malformed",
		"a b":                    "malformed",
		`"ä"`:                    "malformed",
		strings.Repeat("k", 256): "malformed",
	} {
		got, ok := header.IdempotencyKey(http.Header{"Idempotency-Key": {field}})
		if !ok {
			got = "malformed"
		}
		if got != want {
			t.Errorf("IdempotencyKey(%q) = %q, want %q", field, got, want)
		}
	}
	if key, ok := header.IdempotencyKey(http.Header{}); key != "" || !ok {
		t.Errorf("without the header: %q, %t", key, ok)
	}
	if _, ok := header.IdempotencyKey(http.Header{"Idempotency-Key": {"a", "b"}}); ok {
		t.Error("two keys are accepted")
	}
}

func TestPreference(t *testing.T) {
	t.Parallel()
	h := http.Header{"Prefer": {`foo="a,b=c"; respond-async, Wait = 5;x=y`, "respond-async, wait=7"}}
	for token, want := range map[string]string{"wait": "5", "respond-async": "", "b": "unstated", "foo": `"a,b=c"`} {
		got, stated := header.Preference(h, token)
		if !stated {
			got = "unstated"
		}
		if got != want {
			t.Errorf("Preference(%s) = %q, want %q", token, got, want)
		}
	}
}

func TestWantsEvents(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]string{
		"":                  "json",
		"*/*":               "json",
		"text/event-stream": "events",
		"text/event-stream;q=0.5, application/json": "json",
		"application/json, text/event-stream":       "events",
		"text/html":                                 "neither",
		";;, */*":                                   "json",
	} {
		stream, ok := header.WantsEvents(http.Header{"Accept": {accept}}, true)
		got := map[bool]string{true: "events", false: "json"}[stream]
		if !ok {
			got = "neither"
		}
		if got != want {
			t.Errorf("WantsEvents(%q) = %s, want %s", accept, got, want)
		}
	}
}

func TestSecondsRoundUp(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int{0: 0, 1: 1, time.Second: 1, time.Second + 1: 2} {
		if got := header.Seconds(d); got != want {
			t.Errorf("Seconds(%v) = %d, want %d", d, got, want)
		}
	}
}
