package retryafter_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/internal/retryafter"
)

func TestParse(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-7": 0, "1.5": 0, "soon": 0, "99999999999999999999": 0,
		date(time.Minute): time.Minute, date(-time.Minute): 0,
	} {
		got := retryafter.Parse(http.Header{"Retry-After": {text}, "Date": {date(0)}})
		if got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
	late := http.Header{"Retry-After": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}}
	if got := retryafter.Parse(late); got < 59*time.Minute || got > time.Hour {
		t.Errorf("without Date: got %v, want an hour", got)
	}
}
