package registry

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// Health checks go to addresses that whoever registers chooses, so not everywhere.
func TestMayProbe(t *testing.T) {
	t.Parallel()
	for address, want := range map[string][2]bool{ // without and with tokens
		"10.0.0.1": {true, true}, "8.8.8.8": {true, true}, "2001:db8::1": {true, true},
		"127.0.0.1": {true, false}, "::1": {true, false},
		"169.254.169.254": {false, false}, "fe80::1": {false, false}, "0.0.0.0": {false, false}, "::": {false, false}, "224.0.0.1": {false, false},
	} {
		to := netip.MustParseAddr(address)
		if got := [2]bool{mayProbe(to, true), mayProbe(to, false)}; got != want {
			t.Errorf("mayProbe(%s) = %v, want %v", address, got, want)
		}
	}
	server := httptest.NewServer(http.RedirectHandler("http://169.254.169.254/", http.StatusFound))
	defer server.Close()
	response, err := newProbeClient(true).Get(server.URL)
	if err != nil || response.StatusCode != http.StatusFound {
		t.Fatalf("%v, %v, want the redirect not to be followed", response, err)
	}
	response.Body.Close()
	if _, err := newProbeClient(false).Get(server.URL); err == nil || !strings.Contains(err.Error(), "do not go to 127.0.0.1") {
		t.Errorf("with tokens: %v", err)
	}
}
