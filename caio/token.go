package caio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

const maxTokenFile = 64 << 10

var errNoToken = errors.New("no token")

// StaticToken returns an [Options].Token that always gives the same token, and nil for an empty one.
func StaticToken(token string) func(context.Context) (string, error) {
	if token = strings.TrimSpace(token); token == "" {
		return nil
	}
	return func(context.Context) (string, error) { return token, nil }
}

// fileToken returns an [Options].Token that reads the file anew each time.
func fileToken(name string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		file, err := os.Open(name)
		if err != nil {
			return "", permanentFault(err.Error())
		}
		defer file.Close()
		token, err := io.ReadAll(io.LimitReader(file, maxTokenFile+1))
		switch {
		case err != nil:
			return "", permanentFault(err.Error())
		case len(token) > maxTokenFile:
			return "", permanentFault(fmt.Sprintf("%s is larger than %d KiB, so it is no token", name, maxTokenFile>>10))
		case len(strings.TrimSpace(string(token))) == 0:
			return "", permanentFault(name + " holds no token")
		}
		return string(token), nil
	}
}

// setBearer authorizes the request; "" leaves it as it is.
func setBearer(request *http.Request, token string) error {
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return permanentFault("the token has characters that no bearer token has")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return nil
}
