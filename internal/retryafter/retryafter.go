// Package retryafter reads the Retry-After header.
package retryafter

import (
	"net/http"
	"strconv"
	"time"
)

// Parse returns the pause of Retry-After (RFC 9110 section 10.2.3), 0 if there is no valid one. It
// compares a date with the Date header, the server's own clock, or else with the local clock.
func Parse(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	then, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return max(then.Sub(now), 0)
}
