package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

const maxSecretBytes = 64 << 10

// secrets holds the secrets of environment variables or secret files.
type secrets struct{ apiKey, bridgeToken, caioToken string }

// readSecrets reads all secrets, and returns one error with all problems.
func readSecrets(getenv func(string) string) (s secrets, err error) {
	var errs [3]error
	s.apiKey, errs[0] = readSecret(getenv, "OPENAI_API_KEY")
	s.bridgeToken, errs[1] = readSecret(getenv, "CODEX_BRIDGE_TOKEN")
	s.caioToken, errs[2] = readSecret(getenv, "CAIO_TOKEN")
	return s, errors.Join(errs[:]...)
}

// readSecret returns the value of variable name, or the content of the file in variable name_FILE.
func readSecret(getenv func(string) string, name string) (string, error) {
	value, file := getenv(name), getenv(name+"_FILE")
	switch {
	case file == "":
		return value, nil
	case value != "":
		return "", fmt.Errorf("%s and %[1]s_FILE are both set: unset one", name)
	}
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("%s_FILE: %w", name, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
	if err != nil {
		return "", fmt.Errorf("%s_FILE: %w", name, err)
	}
	data = bytes.TrimSpace(data)
	if len(data) == 0 || len(data) > maxSecretBytes {
		return "", fmt.Errorf("%s_FILE: %s is empty or longer than %d bytes: it must contain only the secret",
			name, file, maxSecretBytes)
	}
	return string(data), nil
}

// A keyring holds the current tokens. It is safe for concurrent use.
type keyring struct {
	tokenForCAIO atomic.Pointer[string]
	callers      atomic.Pointer[func(*http.Request) (string, error)]
}

func newKeyring(s secrets) *keyring {
	k := &keyring{}
	k.set(s)
	return k
}

func (k *keyring) set(s secrets) {
	k.tokenForCAIO.Store(&s.caioToken)
	callers := bridge.BearerTokens(map[string]string{"caller": s.bridgeToken})
	k.callers.Store(&callers)
}

// caioToken implements [caio.Options.Token].
func (k *keyring) caioToken(context.Context) (string, error) { return *k.tokenForCAIO.Load(), nil }

// authenticate implements [bridge.Options.Authenticate].
func (k *keyring) authenticate(r *http.Request) (string, error) { return (*k.callers.Load())(r) }
