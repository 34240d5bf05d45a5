package bridge_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A bridge on TLS, for callers with a certificate of the operator's own authority or with a token.
func ExampleClientCertificate() {
	certificate, err := tls.LoadX509KeyPair("bridge.crt", "bridge.key")
	if err != nil {
		log.Fatal(err)
	}
	authority, err := os.ReadFile("callers-ca.crt")
	if err != nil {
		log.Fatal(err)
	}
	callers := x509.NewCertPool()
	if !callers.AppendCertsFromPEM(authority) {
		log.Fatal("callers-ca.crt has no certificate")
	}
	tokens := bridge.BearerTokens(map[string]string{"nightly-job": os.Getenv("NIGHTLY_TOKEN")})

	c, err := contract.Load(translatorFiles, "contract.yaml") // its base_url begins with https
	if err != nil {
		log.Fatal(err)
	}
	b, err := bridge.New(c, translator{}, &bridge.Options{
		Authenticate: func(r *http.Request) (string, error) {
			if r.Header.Get("Authorization") != "" {
				return tokens(r)
			}
			return bridge.ClientCertificate(r)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ln, err := tls.Listen("tcp", ":8443", &tls.Config{
		Certificates: []tls.Certificate{certificate},
		ClientCAs:    callers,
		ClientAuth:   tls.VerifyClientCertIfGiven,
		NextProtos:   []string{"h2", "http/1.1"},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.Serve(ctx, ln); err != nil {
		log.Fatal(err)
	}
}

// A tokenVerifier is what libraries for JSON Web Tokens offer in one form or another: it checks signature, issuer,
// audience and expiry of a token and tells whose it is.
type tokenVerifier interface {
	Verify(ctx context.Context, token string) (subject string, err error)
}

// Any function that finds out who calls can authenticate.
func ExampleOptions_verifier() {
	var verifier tokenVerifier = issuedTokens{"eyJhbGciOiJFZERTQSJ9.e30.c2ln": "ann@example.com"}
	authenticate := func(r *http.Request) (string, error) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			return "", errors.New("no bearer token")
		}
		return verifier.Verify(r.Context(), token) // an error is logged; the caller is told no more than 401
	}

	c, err := contract.Load(translatorFiles, "contract.yaml")
	if err != nil {
		log.Fatal(err)
	}
	b, err := bridge.New(c, translator{map[string]string{"de good morning": "Guten Morgen"}}, &bridge.Options{Authenticate: authenticate})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	for _, token := range []string{"eyJhbGciOiJFZERTQSJ9.e30.c2ln", "eyJhbGciOiJub25lIn0.e30."} {
		r := httptest.NewRequest(http.MethodPost, "/translate", strings.NewReader(`{"text": "Good morning", "to": "de"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 200
	// 401
}

// issuedTokens stands for an identity provider.
type issuedTokens map[string]string

func (t issuedTokens) Verify(_ context.Context, token string) (string, error) {
	if subject, ok := t[token]; ok {
		return subject, nil
	}
	return "", errors.New("the token is not one that was issued")
}
