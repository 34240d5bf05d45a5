package registry_test

import (
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	const token = "a-token-of-some-length"
	open := newRegistry(t, &registry.Options{Tokens: []string{"another-one-of-them", token}})
	closed := newRegistry(t, &registry.Options{Tokens: []string{token}, CloseIntegration: true})
	discover := exchange{method: "POST", path: "/api/v1/integration/discover-services", contentType: asJSON, body: `{}`}
	list := exchange{method: "GET", path: "/api/v1/services"}
	with := func(e exchange, authorization string) exchange {
		e.header = map[string]string{"Authorization": authorization, "Host": "caio.example"}
		return e
	}
	for name, test := range map[string]struct {
		exchange exchange
		registry *registry.Registry
		status   int
	}{
		"right token":         {with(list, "Bearer "+token), open, 200},
		"lower-case scheme":   {with(list, "bearer "+token), open, 200},
		"no token":            {list, open, 401},
		"wrong token":         {with(list, "Bearer "+token+"x"), open, 401},
		"wrong scheme":        {with(list, "Basic "+token), open, 401},
		"empty token":         {with(list, "Bearer "), open, 401},
		"older path":          {exchange{method: "GET", path: "/api/services/x"}, open, 401},
		"unknown path":        {exchange{method: "GET", path: "/nothing"}, open, 401},
		"health":              {exchange{method: "GET", path: "/health"}, closed, 200},
		"integration, open":   {discover, open, 200},
		"integration, closed": {discover, closed, 401},
		"integration, token":  {with(discover, "Bearer "+token), closed, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, body := test.exchange.send(t, test.registry)
			if status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			if code, message := refusal(body); status == 401 && (code != "SECURITY_VIOLATION" || strings.Contains(message, token)) {
				t.Errorf("envelope %s: %s", code, message)
			}
		})
	}
	if _, err := registry.New(&registry.Options{Tokens: []string{"short"}, MaxTraces: -1}); err == nil ||
		!strings.Contains(err.Error(), "token 1 of Tokens") || !strings.Contains(err.Error(), "MaxTraces") || strings.Contains(err.Error(), "short\"") {
		t.Errorf("New with two faults: %v", err)
	}
}

// A registry without tokens answers only those who mean this machine: a web page whose name was rebound to the loopback
// address names another host, and a page of another origin says so.
func TestRebinding(t *testing.T) {
	t.Parallel()
	local := newRegistry(t, nil)
	named := newRegistry(t, &registry.Options{Hosts: []string{"caio.internal"}})
	all := newRegistry(t, &registry.Options{Hosts: []string{"*"}})
	for name, test := range map[string]struct {
		registry *registry.Registry
		header   map[string]string
		method   string
		status   int
	}{
		"localhost":          {local, map[string]string{"Host": "localhost:8080"}, "GET", 200},
		"IPv4":               {local, map[string]string{"Host": "127.0.0.1:8080"}, "GET", 200},
		"IPv6":               {local, map[string]string{"Host": "[::1]:8080"}, "GET", 200},
		"IPv6 without port":  {local, map[string]string{"Host": "[::1]"}, "GET", 200},
		"rebound":            {local, map[string]string{"Host": "evil.example:8080"}, "GET", 403},
		"looks local":        {local, map[string]string{"Host": "localhost.evil.example"}, "GET", 403},
		"other address":      {local, map[string]string{"Host": "192.168.1.1"}, "GET", 403},
		"own page":           {local, map[string]string{"Origin": "http://localhost:8080"}, "DELETE", 404},
		"foreign page":       {local, map[string]string{"Origin": "https://evil.example"}, "DELETE", 403},
		"foreign page, site": {local, map[string]string{"Sec-Fetch-Site": "cross-site"}, "DELETE", 403},
		"named":              {named, map[string]string{"Host": "CAIO.internal:80"}, "GET", 200},
		"not named":          {named, map[string]string{"Host": "localhost"}, "GET", 403},
		"all":                {all, map[string]string{"Host": "evil.example"}, "GET", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := "/health"
			if test.method == "DELETE" {
				path = "/api/v1/services/x"
			}
			status, body := exchange{method: test.method, path: path, header: test.header}.send(t, test.registry)
			if status != test.status {
				t.Errorf("%d %v, want %d", status, body, test.status)
			}
		})
	}
}
