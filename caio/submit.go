package caio

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"

	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// Validate asks CAIO whether it would accept ct, and returns what it finds wrong: nothing if it would.
func (c *Client) Validate(ctx context.Context, ct *contract.Contract) (faults []string, err error) {
	var answer struct {
		Valid  *bool `json:"is_valid"`
		Errors []any `json:"errors"`
	}
	r := call{op: opValidate, method: http.MethodPost, path: "/api/v1/integration/validate-contract", body: map[string]any{"contract": ct}}
	if err := c.do(ctx, r, &answer); err != nil {
		return nil, err
	}
	for _, fault := range answer.Errors {
		text, isText := fault.(string)
		if !isText {
			data, _ := json.Marshal(fault) // it was JSON a moment ago
			text = string(data)
		}
		faults = append(faults, wire.Clip(text, 1000))
	}
	switch {
	case answer.Valid == nil:
		return nil, c.unexpected(opValidate, `the answer has no "is_valid"`)
	case *answer.Valid:
		return nil, nil
	case len(faults) == 0:
		return []string{"the contract is invalid; CAIO does not say why"}, nil
	}
	return faults, nil
}

// Upload registers the service that text, a contract in YAML, describes by sending it as a file of the given name, comments
// and all. It succeeds and fails like [Client.Register].
func (c *Client) Upload(ctx context.Context, name string, text []byte) (*Registration, error) {
	ct, err := contract.Parse(name, text)
	if err != nil {
		return nil, fmt.Errorf("caio: upload: %w: %w", ErrInvalidContract, err)
	}
	body, err := asFile(name, text)
	if err != nil {
		return nil, fmt.Errorf("caio: upload: %w", err)
	}
	return c.submit(ctx, ct, call{op: opRegister, method: http.MethodPost, path: "/api/v1/integration/upload-contract", body: body})
}

// asFile returns a form with one file (RFC 7578).
func asFile(name string, data []byte) (document, error) {
	var buffer bytes.Buffer
	form := multipart.NewWriter(&buffer)
	part, err := form.CreateFormFile("file", name)
	if err != nil {
		return document{}, err
	}
	part.Write(data) // a bytes.Buffer does not fail
	err = form.Close()
	return document{form.FormDataContentType(), buffer.Bytes()}, err
}
