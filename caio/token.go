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

const maxTokenFile = 64 << 10 // bytes

var errNoToken = errors.New("no token")

// StaticToken returns a function for [Options].Token with a fixed token, or nil for an empty token.
func StaticToken(token string) func(context.Context) (string, error) {
	if token = strings.TrimSpace(token); token == "" {
		return nil
	}
	return func(context.Context) (string, error) { return token, nil }
}

// fileToken returns a function for [Options].Token that reads the file at each call.
func fileToken(name string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		file, err := os.Open(name)
		if err != nil {
			return "", permanentError(err.Error())
		}
		defer file.Close()
		token, err := io.ReadAll(io.LimitReader(file, maxTokenFile+1))
		switch {
		case err != nil:
			return "", permanentError(err.Error())
		case len(token) > maxTokenFile:
			return "", permanentError(fmt.Sprintf("%s is larger than %d KiB, so it is no token", name, maxTokenFile>>10))
		case len(strings.TrimSpace(string(token))) == 0:
			return "", permanentError(name + " contains no token")
		}
		return string(token), nil
	}
}

// setBearer sets the Authorization header, unless token is empty.
func setBearer(request *http.Request, token string) error {
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return permanentError("the token contains characters that bearer tokens must not contain")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return nil
}
