package caio_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
)

func TestTokensRotate(t *testing.T) {
	t.Parallel()
	const token = "the-second-and-right-token"
	reg := newRegistry(t, &registry.Options{Tokens: []string{token}})
	given := "an-outdated-token"
	client := newClient(t, reg, &caio.Options{Token: func(context.Context) (string, error) { return given + "\n", nil }})
	_, err := client.Services(t.Context(), caio.Filter{})
	if !errors.Is(err, caio.ErrUnauthorized) {
		t.Errorf("with the wrong token: %v, want ErrUnauthorized", err)
	}
	given = token
	if _, err := client.Services(t.Context(), caio.Filter{}); err != nil {
		t.Errorf("with the right token: %v", err)
	}
}

// An operator may replace a token file at any time. Errors name the file and never quote it.
func TestTokenFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const token = "the-second-and-right-token"
	client := newClient(t, newRegistry(t, &registry.Options{Tokens: []string{token}}), &caio.Options{TokenFile: file})
	ask := func() error { _, err := client.Services(t.Context(), caio.Filter{}); return err }
	if err := ask(); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("without the file: %v, want its name", err)
	}
	write("an-outdated-token\n")
	if err := ask(); !errors.Is(err, caio.ErrUnauthorized) {
		t.Errorf("with the wrong token: %v, want ErrUnauthorized", err)
	}
	write(token + "\n")
	if err := ask(); err != nil {
		t.Errorf("with the right token: %v", err)
	}
	for _, text := range []string{" \n", "canary two\n", strings.Repeat("canary", 1<<15)} {
		write(text)
		if err := ask(); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("with %.20q in the file: %v", text, err)
		}
	}
}
