package bridge_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	a := authority{key: newKey(t), cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour),
	}}
	a.cert = a.sign(t, a.cert, a.key).Leaf
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a authority) sign(t *testing.T, template *x509.Certificate, key *ecdsa.PrivateKey) tls.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// issue signs a certificate for localhost, or for a caller, after edit has been applied to it.
func (a authority) issue(t *testing.T, edit func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	edit(template)
	return a.sign(t, template, newKey(t))
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// whoami answers with the name of its caller.
func whoami() bridge.Provider {
	return shouter(func(ctx context.Context, _ shoutRequest, _ func(word) error) (shoutResponse, error) {
		return shoutResponse{bridge.Principal(ctx)}, nil
	})
}

// serveTLS runs b on a TLS listener until the test ends, and returns its URL.
func serveTLS(t *testing.T, b *bridge.Bridge, config *tls.Config) (url string) {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, b, ln)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return "https://localhost:" + port
}

func tlsClient(t *testing.T, config *tls.Config, http2 bool) *http.Client {
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: http2}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func spiffe(c *x509.Certificate) {
	c.URIs = []*url.URL{{Scheme: "spiffe", Host: "caio.example", Path: "/orchestrator"}}
	c.DNSNames = []string{"caio.example.com"}
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	server := ours.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"localhost"} })
	const refused = -1 // in the handshake
	for name, test := range map[string]struct {
		from   authority
		edit   func(*x509.Certificate) // nil: no certificate
		status map[tls.ClientAuthType]int
		who    string
	}{
		"one of ours": {ours, spiffe, map[tls.ClientAuthType]int{tls.RequireAndVerifyClientCert: 200, tls.VerifyClientCertIfGiven: 200, tls.RequireAnyClientCert: 401}, "spiffe://caio.example/orchestrator"},
		"none":        {ours, nil, map[tls.ClientAuthType]int{tls.RequireAndVerifyClientCert: refused, tls.VerifyClientCertIfGiven: 401, tls.RequestClientCert: 401}, ""},
		"of an unknown authority": {theirs, spiffe, map[tls.ClientAuthType]int{
			tls.RequireAndVerifyClientCert: refused, tls.VerifyClientCertIfGiven: refused, tls.RequireAnyClientCert: 401, tls.RequestClientCert: 401,
		}, ""},
		"expired": {ours, func(c *x509.Certificate) { spiffe(c); c.NotAfter = time.Now().Add(-time.Second) }, map[tls.ClientAuthType]int{
			tls.RequireAndVerifyClientCert: refused, tls.VerifyClientCertIfGiven: refused, tls.RequestClientCert: 401,
		}, ""},
		"for servers only": {ours, func(c *x509.Certificate) { spiffe(c); c.ExtKeyUsage = c.ExtKeyUsage[:1] }, map[tls.ClientAuthType]int{tls.VerifyClientCertIfGiven: refused}, ""},
	} {
		for mode, status := range test.status {
			for _, http2 := range []bool{false, true} {
				t.Run(name+", "+mode.String(), func(t *testing.T) {
					t.Parallel()
					b := newBridge(t, loadContract(t), whoami(), &bridge.Options{Authenticate: bridge.ClientCertificate})
					url := serveTLS(t, b, &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: ours.pool(), ClientAuth: mode, NextProtos: []string{"h2", "http/1.1"}})
					config := &tls.Config{RootCAs: ours.pool()}
					if test.edit != nil {
						cert := test.from.issue(t, test.edit)
						config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil } // also if it is of no use
					}
					client := tlsClient(t, config, http2)
					req := newRequest(t, "POST", url+"/shout", `{"text": "a"}`, "X-Forwarded-Client-Cert", `URI=spiffe://caio.example/orchestrator`)
					if status == refused {
						if res, err := client.Do(req); err == nil {
							res.Body.Close()
							t.Errorf("the handshake succeeds; the answer is %d", res.StatusCode)
						}
						return
					}
					got := send(t, client, req)
					if got.Status != status || status == 200 && got.Body != `{"loud":"`+test.who+`"}` {
						t.Errorf("%d %s, want %d for %q", got.Status, got.Body, status, test.who)
					}
					if got.HTTP2 != http2 {
						t.Errorf("HTTP/2: %v, want %v", got.HTTP2, http2)
					}
					if got := send(t, client, newRequest(t, "GET", url+"/livez", "")); got.Status != 200 {
						t.Errorf("/livez = %d %s", got.Status, got.Body)
					}
				})
			}
		}
	}
}

// Callers may have either, as the example has it.
func TestTokenOrCertificate(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t)
	server := ours.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"localhost"} })
	tokens := bridge.BearerTokens(map[string]string{"nightly-job": "token-n"})
	b := newBridge(t, loadContract(t), whoami(), &bridge.Options{Authenticate: func(r *http.Request) (string, error) {
		if r.Header.Get("Authorization") != "" {
			return tokens(r)
		}
		return bridge.ClientCertificate(r)
	}})
	url := serveTLS(t, b, &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: ours.pool(), ClientAuth: tls.VerifyClientCertIfGiven})
	without := tlsClient(t, &tls.Config{RootCAs: ours.pool()}, false)
	with := tlsClient(t, &tls.Config{RootCAs: ours.pool(), Certificates: []tls.Certificate{ours.issue(t, spiffe)}}, false)
	for name, test := range map[string]struct {
		client *http.Client
		header []string
		want   string // "": refused
	}{
		"a token":                    {without, []string{"Authorization", "Bearer token-n"}, "nightly-job"},
		"a certificate":              {with, nil, "spiffe://caio.example/orchestrator"},
		"both":                       {with, []string{"Authorization", "Bearer token-n"}, "nightly-job"},
		"a certificate, wrong token": {with, []string{"Authorization", "Bearer wrong"}, ""},
		"neither":                    {without, nil, ""},
	} {
		got := send(t, test.client, newRequest(t, "POST", url+"/shout", `{"text": "a"}`, test.header...))
		if test.want == "" && got.Status != 401 || test.want != "" && got.Body != `{"loud":"`+test.want+`"}` {
			t.Errorf("%s: %d %s, want %q", name, got.Status, got.Body, test.want)
		}
	}
}

// Streams work over HTTP/2, too.
func TestStreamOverHTTP2(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t)
	server := ours.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"localhost"} })
	url := serveTLS(t, newBridge(t, loadContract(t), shouter(shout), nil), &tls.Config{Certificates: []tls.Certificate{server}, NextProtos: []string{"h2", "http/1.1"}})
	got := send(t, tlsClient(t, &tls.Config{RootCAs: ours.pool()}, true), newRequest(t, "POST", url+"/shout", `{"text": "a"}`, wantEvents...))
	if want := "id: 1\nevent: word\ndata: {\"word\":\"A\"}\n\nid: 2\nevent: result\ndata: {\"loud\":\"A\"}\n\n"; got.Body != want || !got.HTTP2 {
		t.Errorf("%d over HTTP/2 (%v): %q, want %q", got.Status, got.HTTP2, got.Body, want)
	}
}

func TestNameOfAClientCertificate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		edit func(*x509.Certificate)
		want string
	}{
		"a URI":                           {spiffe, "spiffe://caio.example/orchestrator"},
		"two URIs":                        {func(c *x509.Certificate) { spiffe(c); c.URIs = append(c.URIs, c.URIs[0]) }, ""},
		"DNS names":                       {func(c *x509.Certificate) { c.DNSNames = []string{"a.example", "b.example"} }, "a.example"},
		"a common name beside a DNS name": {func(c *x509.Certificate) { c.Subject.CommonName, c.DNSNames = "b", []string{"a"} }, "a"},
		"a common name":                   {func(c *x509.Certificate) { c.Subject.CommonName = "caio" }, "caio"},
		"an address of mail":              {func(c *x509.Certificate) { c.EmailAddresses = []string{"caio@example.com"} }, ""},
		"expired while connected":         {func(c *x509.Certificate) { spiffe(c); c.NotAfter = time.Now().Add(-time.Second) }, ""},
	} {
		cert := newAuthority(t).issue(t, test.edit)
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/shout", nil)
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert.Leaf}, VerifiedChains: [][]*x509.Certificate{{cert.Leaf}}}
		if got, err := bridge.ClientCertificate(r); got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: %q, %v, want %q", name, got, err, test.want)
		}
		r.TLS.VerifiedChains = nil
		if got, err := bridge.ClientCertificate(r); err == nil {
			t.Errorf("%s, not verified: %q", name, got)
		}
	}
}
