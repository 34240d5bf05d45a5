package registry_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	const token, user, service = "a-token-of-some-length", "a-token-for-the-users", "a-token-for-services"
	opts := registry.Options{Tokens: []string{"another-one-of-them", token}, UserTokens: []string{user}, ServiceTokens: []string{service}}
	closed := newRegistry(t, &opts)
	opts.OpenIntegration = true
	open := newRegistry(t, &opts)
	discover := exchange{method: "POST", path: "/api/v1/integration/discover-services", contentType: asJSON, body: `{}`}
	upload := exchange{method: "POST", path: "/api/v1/integration/register-service", contentType: "application/yaml", body: codexContract}
	list := exchange{method: "GET", path: "/api/v1/services"}
	register := exchange{method: "POST", path: "/api/v1/services", contentType: "application/yaml", body: codexContract}
	remove := exchange{method: "DELETE", path: "/api/v1/services/nobody"}
	route := exchange{method: "POST", path: "/api/v1/orchestrate", contentType: asJSON, body: `{"requirements": ["swim"]}`}
	trace := exchange{method: "GET", path: "/api/v1/trace/none"}
	with := func(e exchange, authorization string) exchange {
		e.header = map[string]string{"Authorization": authorization, "Host": "caio.example"}
		return e
	}
	for name, test := range map[string]struct {
		exchange exchange
		registry *registry.Registry
		status   int
	}{
		"right token":         {with(list, "Bearer "+token), closed, 200},
		"lower-case scheme":   {with(list, "bearer "+token), closed, 200},
		"no token":            {list, closed, 401},
		"wrong token":         {with(list, "Bearer "+token+"x"), closed, 401},
		"wrong scheme":        {with(list, "Basic "+token), closed, 401},
		"empty token":         {with(list, "Bearer "), closed, 401},
		"older path":          {exchange{method: "GET", path: "/api/services/x"}, closed, 401},
		"unknown path":        {exchange{method: "GET", path: "/nothing"}, closed, 401},
		"health":              {exchange{method: "GET", path: "/health"}, closed, 200},
		"integration":         {discover, closed, 401},
		"integration, token":  {with(discover, "Bearer "+token), closed, 200},
		"integration, open":   {discover, open, 200},
		"open registration":   {upload, open, 200},
		"closed registration": {upload, closed, 401},
		"user lists":          {with(list, "Bearer "+user), closed, 200},
		"user discovers":      {with(discover, "Bearer "+user), closed, 200},
		"user routes":         {with(route, "Bearer "+user), closed, 400},
		"user reads traces":   {with(trace, "Bearer "+user), closed, 404},
		"user registers":      {with(register, "Bearer "+user), closed, 403},
		"user unregisters":    {with(remove, "Bearer "+user), closed, 403},
		"service lists":       {with(list, "Bearer "+service), closed, 200},
		"service registers":   {with(register, "Bearer "+service), closed, 200},
		"service unregisters": {with(remove, "Bearer "+service), closed, 404},
		"service routes":      {with(route, "Bearer "+service), closed, 403},
		"service, traces":     {with(trace, "Bearer "+service), closed, 403},
		"admin routes":        {with(route, "Bearer "+token), closed, 400},
		"admin unregisters":   {with(remove, "Bearer "+token), closed, 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, body := test.exchange.send(t, test.registry)
			if status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			if code, message := refusal(body); (status == 401 || status == 403) && (code != "SECURITY_VIOLATION" || strings.Contains(message, token)) {
				t.Errorf("envelope %s: %s", code, message)
			}
		})
	}
	_, err := registry.New(&registry.Options{Tokens: []string{"short"}, UserTokens: []string{user, user}, MaxTraces: -1, Weights: registry.Weights{Cost: -1}, ProbeInterval: 1})
	for _, want := range []string{"token 1 of Tokens", "token 2 of UserTokens is there twice", "MaxTraces", "Weights", "ProbeInterval"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), user) {
			t.Errorf("New with faults: %v, want %q and no token", err, want)
		}
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
		"final dot":          {local, map[string]string{"Host": "localhost.:8080"}, "GET", 200},
		"not an address":     {local, map[string]string{"Host": "[localhost]"}, "GET", 403},
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

// Without tokens the Host header of a caller on another machine proves nothing: any client but a
// browser can name this machine.
func TestWithoutTokensOtherMachinesAreRefused(t *testing.T) {
	t.Parallel()
	const token = "a-token-of-some-length"
	closed := newRegistry(t, nil)
	named := newRegistry(t, &registry.Options{Hosts: []string{"caio.internal", "localhost"}})
	opened := newRegistry(t, &registry.Options{AllowUnauthenticated: true})
	secured := newRegistry(t, &registry.Options{Tokens: []string{token}})
	for name, test := range map[string]struct {
		registry *registry.Registry
		local    net.Addr
		host     string
		status   int
	}{
		"loopback":               {closed, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, "localhost", 200},
		"IPv6 loopback":          {closed, &net.TCPAddr{IP: net.IPv6loopback, Port: 80}, "localhost", 200},
		"socket":                 {closed, &net.UnixAddr{Name: "/run/caio", Net: "unix"}, "localhost", 200},
		"not said":               {closed, nil, "localhost", 200},
		"another address":        {closed, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 80}, "localhost", 403},
		"another IPv6 address":   {closed, &net.TCPAddr{IP: net.ParseIP("2001:db8::2"), Port: 80}, "[::1]:80", 403},
		"HTTP/3":                 {closed, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 80}, "localhost", 403},
		"another address, named": {named, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 80}, "caio.internal", 403},
		"opened":                 {opened, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 80}, "localhost", 200},
		"opened, other host":     {opened, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 80}, "evil.example", 403},
		"token":                  {secured, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 80}, "caio.example", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if test.local != nil {
					r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, test.local))
				}
				test.registry.ServeHTTP(w, r)
			})
			header := map[string]string{"Host": test.host, "Authorization": "Bearer " + token}
			for _, e := range []exchange{
				{method: "GET", path: "/api/v1/services", header: header},
				{method: "POST", path: "/api/v1/services", contentType: "application/yaml", body: codexContract, header: header},
			} {
				status, body := e.send(t, at)
				if status != test.status {
					t.Errorf("%s %s: %d %v, want %d", e.method, e.path, status, body, test.status)
				}
				if _, message := refusal(body); test.host == "localhost" && status == 403 && !strings.Contains(message, "Options.AllowUnauthenticated") {
					t.Errorf("the refusal does not say what to do: %s", message)
				}
			}
			health := exchange{method: "GET", path: "/health", header: header}
			if status, _ := health.send(t, at); status != 200 && test.host != "evil.example" {
				t.Errorf("/health: %d", status)
			}
		})
	}
}

// The open path, too, refuses pages after DNS rebinding.
func TestReboundPagesDoNotRegister(t *testing.T) {
	t.Parallel()
	const token, user = "a-token-of-some-length", "a-token-for-the-users"
	for name, test := range map[string]struct {
		hosts  []string
		header map[string]string
		status int
	}{
		"no page":                {nil, map[string]string{"Host": "caio.example"}, 200},
		"page, loopback":         {nil, map[string]string{"Host": "localhost:80", "Origin": "http://localhost:80"}, 200},
		"page, listed host":      {[]string{"caio.example"}, map[string]string{"Host": "caio.example", "Origin": "https://caio.example"}, 200},
		"page, any host":         {[]string{"*"}, map[string]string{"Host": "evil.example", "Origin": "http://evil.example"}, 200},
		"page, token":            {nil, map[string]string{"Host": "caio.example", "Origin": "http://caio.example", "Authorization": "Bearer " + token}, 200},
		"page, user's token":     {nil, map[string]string{"Host": "caio.example", "Origin": "http://caio.example", "Authorization": "Bearer " + user}, 200},
		"rebound":                {nil, map[string]string{"Host": "evil.example", "Origin": "http://evil.example"}, 403},
		"rebound, other headers": {nil, map[string]string{"Host": "evil.example", "Sec-Fetch-Site": "same-origin"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := newRegistry(t, &registry.Options{Tokens: []string{token}, UserTokens: []string{user}, OpenIntegration: true, Hosts: test.hosts})
			e := exchange{method: "POST", path: "/api/v1/integration/register-service", contentType: "application/yaml", body: codexContract, header: test.header}
			if status, body := e.send(t, reg); status != test.status {
				t.Errorf("%d %v, want %d", status, body, test.status)
			}
		})
	}
}
