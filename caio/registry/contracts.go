package registry

import (
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/internal/text"
)

// A submission is a contract that is to be registered.
type submission struct {
	contract *contract.Contract
	ttl      time.Duration // 0 for no lease
}

// readContract reads a contract in every form that CAIO takes: YAML, {"contract": {...}} or the contract itself as JSON.
// A "service_id" beside the contract, which CAIO documents for its open path, replaces the contract's own. "ttl_seconds"
// beside it, or in the query, asks for a lease.
func (r *Registry) readContract(req *http.Request) (s submission, err error) {
	body, isYAML, err := readBody(req)
	if err != nil {
		return s, err
	}
	if s.ttl, err = readTTL(req.URL.Query().Get("ttl_seconds")); err != nil {
		return s, err
	}
	if !isYAML {
		wrapped, err := unwrapContract(body)
		if err != nil {
			return s, err
		}
		if body = wrapped.contract; wrapped.ttl != 0 {
			s.ttl = wrapped.ttl
		}
	}
	s.contract, err = r.parseContract(req.Context(), "contract", body)
	return s, err
}

func readTTL(seconds string) (time.Duration, error) {
	if seconds == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(seconds)
	if err != nil || n < 1 || n > maxTTLSeconds {
		return 0, invalidRequest(fmt.Sprintf("ttl_seconds must be a whole number from 1 to %d", maxTTLSeconds))
	}
	return time.Duration(n) * time.Second, nil
}

func (r *Registry) parseContract(ctx context.Context, name string, text []byte) (ct *contract.Contract, err error) {
	err = r.loads.do(ctx, func() (err error) {
		if ct, err = contract.Parse(name, text); err != nil {
			return invalidContract(err)
		}
		return nil
	})
	return ct, err
}

// readUpload reads the first file of a form, which holds a contract in YAML.
func (r *Registry) readUpload(req *http.Request) (s submission, err error) {
	if s.ttl, err = readTTL(req.URL.Query().Get("ttl_seconds")); err != nil {
		return s, err
	}
	form, err := req.MultipartReader()
	if err != nil {
		return s, &caio.Error{Status: http.StatusUnsupportedMediaType, Code: wire.UnsupportedMediaType, Message: "send the contract as a file in multipart/form-data"}
	}
	for {
		part, err := form.NextPart()
		switch {
		case err == io.EOF:
			return s, invalidRequest("the form has no file")
		case err != nil:
			return s, unreadable(err)
		case part.FileName() == "":
			continue
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return s, unreadable(err)
		}
		s.contract, err = r.parseContract(req.Context(), wire.Clip(part.FileName(), 100), text)
		return s, err
	}
}

// A wrapping is the body of a registration.
type wrapping struct {
	contract []byte
	ttl      time.Duration
}

func unwrapContract(body []byte) (w wrapping, err error) {
	var members map[string]jsontext.Value
	if err := decode(body, &members, ""); err != nil {
		return w, err
	}
	inner, wrapped := members["contract"]
	if !wrapped {
		return wrapping{contract: body}, nil
	}
	w.contract = inner
	if ttl, ok := members["ttl_seconds"]; ok && ttl.Kind() != 'n' {
		if w.ttl, err = readTTL(string(ttl)); err != nil {
			return w, err
		}
	}
	override, ok := members["service_id"]
	if !ok || override.Kind() == 'n' {
		return w, nil
	}
	if override.Kind() != '"' {
		return w, invalidRequest("/service_id: must be a text")
	}
	var document map[string]stdjson.RawMessage
	if err := decode(inner, &document, "/contract"); err != nil {
		return w, err
	}
	w.contract, err = withServiceID(document, stdjson.RawMessage(override))
	return w, err
}

// withServiceID returns the contract with another id, in the shape that it has: nested or flat.
func withServiceID(document map[string]stdjson.RawMessage, id stdjson.RawMessage) ([]byte, error) {
	nested, ok := document["service"]
	if !ok {
		document["service_id"] = id
		return stdjson.Marshal(document)
	}
	var service map[string]stdjson.RawMessage
	if err := decode(nested, &service, "/contract/service"); err != nil {
		return nil, err
	}
	service["id"] = id
	inner, err := stdjson.Marshal(service)
	if err != nil {
		return nil, err
	}
	document["service"] = inner
	return stdjson.Marshal(document)
}

// invalidContract keeps the faults, so that errors.As finds the [contract.Diagnostics] beside the [caio.Error].
func invalidContract(err error) error {
	refusal := &caio.Error{Op: "register", Status: http.StatusBadRequest, Code: wire.InvalidContract}
	var faults contract.Diagnostics
	if !errors.As(err, &faults) || len(faults) == 0 {
		refusal.Message = wire.Clip(err.Error(), 1000)
		return refusal
	}
	refusal.Message = wire.Clip(describe(faults[0]), 800)
	if len(faults) > 1 {
		refusal.Message += fmt.Sprintf(" (and %d more)", len(faults)-1)
	}
	refusal.Details = map[string]any{"diagnostics": diagnosticsBody(faults)}
	return errors.Join(refusal, faults)
}

// describe is the diagnostic in one line: where, what, and what to write.
func describe(d contract.Diagnostic) string {
	line := shortened(d.Message)
	if d.Path != "" {
		line = shortened(d.Path) + ": " + line
	}
	if d.Fix != "" {
		line += "; " + shortened(d.Fix)
	}
	return line
}

// maxDiagnosticText bounds one text of a diagnostic, in bytes. A path has the contract's own names, and a hundred
// diagnostics may repeat a name as long as the contract.
const maxDiagnosticText = 500

func shortened(s string) string { return text.ClipTo(s, maxDiagnosticText) }

func diagnosticsBody(faults contract.Diagnostics) []map[string]any {
	list := make([]map[string]any, len(faults))
	for i, d := range faults {
		severity := "error"
		if d.Severity == contract.Warning {
			severity = "warning"
		}
		list[i] = map[string]any{"severity": severity, "code": d.Code, "path": shortened(d.Path), "line": d.Line, "column": d.Column, "message": shortened(d.Message), "fix": shortened(d.Fix)}
	}
	return list
}
