package mux_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/mux"
)

func TestRoutesAndMethods(t *testing.T) {
	t.Parallel()
	var m mux.Mux
	m.HandleRest(http.NotFound)
	nothing := func(http.ResponseWriter, *http.Request) {}
	for _, route := range [][2]string{{"POST", "/b"}, {"GET", "/a/{id}"}, {"", "/c"}} {
		if err := m.Handle(route[0], route[1], nothing); err != nil {
			t.Error(err)
		}
	}
	for _, route := range [][2]string{{"POST", "/b"}, {"GET", "/{x}/1"}, {"", "/"}, {"GET", "/{"}} {
		if err := m.Handle(route[0], route[1], nothing); err == nil {
			t.Errorf("%s %s is accepted", route[0], route[1])
		}
	}
	if diff := cmp.Diff([]string{"/c", "GET /a/{id}", "POST /b"}, m.Routes()); diff != "" {
		t.Errorf("Routes (-want +got):\n%s", diff)
	}
	all := []string{"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"}
	for path, want := range map[string][]string{"/b": {"POST"}, "/a/1": {"GET", "HEAD"}, "/c": all, "/d": nil, "/b/": nil} {
		if diff := cmp.Diff(want, m.Methods(httptest.NewRequest("GET", path, nil))); diff != "" {
			t.Errorf("Methods of %s (-want +got):\n%s", path, diff)
		}
	}
}
