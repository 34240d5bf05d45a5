package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/contract"
)

const seeServices = `See what is registered with "caioctl services".`

// A usageError is the caller's fault.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// A callError happened at a service, not at CAIO.
type callError struct{ error }

func (e callError) Unwrap() error { return e.error }

// A storeError happened where serve keeps what it holds, and says itself what to do.
type storeError struct{ error }

func (e storeError) Unwrap() error { return e.error }

// judge returns the exit status for err, and what to do about it.
func (a *app) judge(err error) (status int, hint string) {
	var usage usageError
	var call callError
	var store storeError
	var network *net.OpError
	var certificate *tls.CertificateVerificationError
	var faults contract.Diagnostics
	switch {
	case errors.As(err, &usage), strings.HasPrefix(err.Error(), "unknown command"):
		return exitUsage, `See "caioctl help".`
	case errors.As(err, &store):
		return exitFailure, ""
	case errors.Is(err, errVersion):
		return exitChanged, "Raise the version of the contract."
	case errors.Is(err, errForged):
		return exitChanged, ""
	case errors.Is(err, errUnknownCode):
		return exitNotFound, `See all codes with "caioctl explain".`
	case errors.Is(err, caio.ErrInvalidContract), errors.As(err, &faults):
		return exitInvalid, ""
	case errors.Is(err, caio.ErrNoMatch):
		return exitNotFound, seeServices
	case errors.As(err, &call) && errors.Is(err, caio.ErrNotFound):
		return exitNotFound, "CAIO decided on this service, but it does not have the endpoint: its contract is wrong, or its address."
	case errors.Is(err, caio.ErrNotFound) && !isTrace(err):
		return exitNotFound, seeServices
	case errors.Is(err, caio.ErrNotFound):
		return exitNotFound, "Route again: every decision has a trace of its own."
	case errors.As(err, &call) && errors.Is(err, caio.ErrUnauthorized):
		return exitUnauthorized, "The service refuses the call. Set CAIO_SERVICE_TOKEN."
	case errors.Is(err, caio.ErrUnauthorized):
		return exitUnauthorized, "Set CAIO_TOKEN, or name a file that holds the token with --token-file."
	case errors.Is(err, caio.ErrAlreadyRegistered):
		return exitTaken, `Remove the service that holds the id with "caioctl unregister ID", or choose another id.`
	case errors.Is(err, syscall.EADDRINUSE):
		return exitFailure, "Stop the program that listens there, or choose another address with --addr."
	case errors.As(err, &certificate):
		return exitUnreachable, "The certificate is not trusted here. If it is your own, name its authority's file in SSL_CERT_FILE."
	case errors.Is(err, fs.ErrNotExist):
		return exitFailure, "Check the path; it counts from the current folder."
	case errors.As(err, &call) && errors.As(err, &network):
		return exitUnreachable, "CAIO decided on this service, but it cannot be reached. Is it running where its contract says?"
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		return exitUnreachable, fmt.Sprintf(`Is CAIO running at %s? Set CAIO_URL or --url, or start a registry with "caioctl serve".`, a.url)
	}
	return exitFailure, ""
}

func isTrace(err error) bool {
	var refusal *caio.Error
	return errors.As(err, &refusal) && refusal.Op == "read trace"
}

// details are what refusals are known to say beside their messages.
type details struct {
	Nearest []struct { // services, and what they lack
		ServiceID string            `json:"service_id"`
		Failed    []contract.Clause `json:"failed"`
	}
	Diagnostics []struct{ Path, Message, Fix string } // faults of a contract
	Errors      []struct{ Pointer, Detail string }    // faults of a request
	Missing     []string                              `json:"missing_capabilities"` // which the message names
	RequestID   string                                `json:"request_id"`
}

func (d *details) show(t *tableWriter) {
	for _, service := range d.Nearest {
		for _, clause := range service.Failed {
			t.row("  "+service.ServiceID, clause.Requirement+": "+clause.Detail)
		}
	}
	for _, fault := range d.Diagnostics {
		t.row("  "+fault.Path, strings.TrimSuffix(fault.Message+"; "+fault.Fix, "; "))
	}
	for _, fault := range d.Errors {
		t.row("  "+fault.Pointer, fault.Detail)
	}
	if d.RequestID != "" {
		t.row("  request id", d.RequestID)
	}
}

// showDetails prints what a refusal says beside its message: as lines for people where it is known, else as JSON.
func (a *app) showDetails(err error) {
	var refusal *caio.Error
	if !errors.As(err, &refusal) || refusal.Details == nil {
		return
	}
	text, _ := json.MarshalIndent(refusal.Details, "", "  ") // it came as JSON
	var known details
	t := newTable()
	if a.output != "json" && json.Unmarshal(text, &known) == nil {
		known.show(t)
	}
	switch {
	case t.rows > 0:
		a.stderr.Write(t.bytes())
	case len(known.Missing) == 0 && len(text) > len("{}"):
		fmt.Fprintf(a.stderr, "%.4000s\n", text)
	}
}
