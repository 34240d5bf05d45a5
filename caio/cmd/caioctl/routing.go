package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A wanted is the requirements of a command line.
type wanted struct {
	capabilities, least, most, constraints, policies []string

	trust     float64
	sensitive bool
}

func (w *wanted) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&w.least, "min", nil, "guarantee with its lowest bound, for example accuracy=0.9; repeatable")
	flags.StringArrayVar(&w.most, "max", nil, "guarantee with its highest bound, for example p95_latency_ms=500; repeatable")
	flags.StringArrayVar(&w.constraints, "constraint", nil, "constraint, for example requires_gpu=false; repeatable")
	flags.StringArrayVar(&w.policies, "policy", nil, "rule on a field of the contract, for example privacy.gdpr_compliant=true; repeatable")
	flags.Float64Var(&w.trust, "trust-level", 0, "how far the user is trusted on whose behalf you ask")
	flags.BoolVar(&w.sensitive, "sensitive", false, "only services that keep data local or encrypted")
}

// request returns the requirements.
func (w *wanted) request() (caio.Request, error) {
	r := caio.Request{Capabilities: w.capabilities, Guarantees: map[string]contract.Bound{}, Constraints: map[string]any{}, TrustLevel: w.trust, Sensitive: w.sensitive}
	for _, flag := range []struct {
		name   string
		bounds []string
		field  func(*contract.Bound) **float64
	}{
		{"--min", w.least, func(b *contract.Bound) **float64 { return &b.Min }},
		{"--max", w.most, func(b *contract.Bound) **float64 { return &b.Max }},
	} {
		for _, text := range flag.bounds {
			property, value, ok := strings.Cut(text, "=")
			number, err := strconv.ParseFloat(value, 64)
			if !ok || err != nil || math.IsNaN(number) || math.IsInf(number, 0) {
				return r, usageError{fmt.Errorf("%s takes PROPERTY=NUMBER, not %q", flag.name, text)}
			}
			bound := r.Guarantees[property]
			*flag.field(&bound) = &number
			r.Guarantees[property] = bound
		}
	}
	for _, text := range w.constraints {
		field, value, err := fieldAndValue("--constraint", text)
		if err != nil {
			return r, err
		}
		r.Constraints[field] = value
	}
	for _, text := range w.policies {
		field, value, err := fieldAndValue("--policy", text)
		if err != nil {
			return r, err
		}
		r.Policies = append(r.Policies, caio.Policy{Type: "constraint", Field: field, Value: value})
	}
	return r, nil
}

// fieldAndValue reads FIELD=VALUE. The value is JSON where it can be read as such, else text.
func fieldAndValue(flag, text string) (field string, value any, err error) {
	field, rest, ok := strings.Cut(text, "=")
	if !ok {
		return "", nil, usageError{fmt.Errorf("%s takes FIELD=VALUE, not %q", flag, text)}
	}
	if json.Unmarshal([]byte(rest), &value) != nil {
		value = rest
	}
	return field, value, nil
}

// route asks for a decision and returns the client with it, for a call.
func (a *app) route(cmd *cobra.Command, w *wanted) (*caio.Client, *caio.Decision, error) {
	request, err := w.request()
	if err != nil {
		return nil, nil, err
	}
	client, err := a.client()
	if err != nil {
		return nil, nil, err
	}
	decision, err := client.Route(cmd.Context(), request)
	return client, decision, err
}

func (a *app) routeCommand() *cobra.Command {
	var w wanted
	explain := false
	cmd := &cobra.Command{
		Use:   "route CAPABILITY...",
		Short: "Ask CAIO for the service that has the capabilities and meets the requirements best",
		Example: "  caioctl route code_generation\n" +
			"  caioctl route code_generation code_review --max p95_latency_ms=5000 --constraint requires_gpu=false --explain",
		Args:              arguments(cobra.MinimumNArgs(1)),
		ValidArgsFunction: a.completeCapabilities,
		RunE: func(cmd *cobra.Command, capabilities []string) error {
			w.capabilities = capabilities
			_, decision, err := a.route(cmd, &w)
			if err != nil {
				return err
			}
			return a.print(decision, func(t *tableWriter) { showDecision(t, decision, explain) })
		},
	}
	w.addFlags(cmd)
	cmd.Flags().BoolVar(&explain, "explain", false, "also show the best candidates with their scores, and every requirement and how it is met")
	return cmd
}

func showDecision(t *tableWriter, d *caio.Decision, explain bool) {
	t.paintedRow(bold, "service", d.ServiceID+" ("+d.ServiceName+")")
	if d.BaseURL != "" {
		t.row("address", d.BaseURL)
	}
	for _, endpoint := range d.Endpoints {
		t.row("endpoint", endpoint.Method+" "+endpoint.Path)
	}
	showGuarantees(t, d.Guarantees)
	for _, reason := range d.Reasons {
		t.row("because", reason)
	}
	t.row("decision", d.DecisionID)
	if !explain {
		return
	}
	for _, c := range d.Candidates {
		t.row("candidate", fmt.Sprintf("%s %.4f%s%s%s%s", c.ServiceID, c.Score, figure("accuracy >= ", c.Accuracy),
			figure("p95 ms <= ", c.P95Latency), figure("price ", c.Price), figure("availability >= ", c.Availability)))
	}
	showProofs(t, d.Proofs)
}

// figure names a figure that counts in the choice, "" if it is not promised.
func figure(name string, value *float64) string {
	if value == nil {
		return ""
	}
	return fmt.Sprintf(", %s%g", name, *value)
}

func (a *app) callCommand() *cobra.Command {
	var w wanted
	var endpoint, data string
	stream := false
	cmd := &cobra.Command{
		Use:   "call CAPABILITY...",
		Short: "Ask CAIO for a service and call it",
		Long: "Ask CAIO for a service and call it. The body is JSON: given with --data, read from a file with --data @FILE,\n" +
			"or from the standard input with --data -. The service's answer is written as it comes; with -o json it is indented,\n" +
			"and events are written as objects, one a line. A token for the service is taken from $CAIO_SERVICE_TOKEN.",
		Example: "  caioctl call code_generation --endpoint \"POST /generate\" --data '{\"prompt\": \"add two numbers\"}'\n" +
			"  caioctl call code_generation --endpoint \"POST /generate\" --data @request.json --stream",
		Args:              arguments(cobra.MinimumNArgs(1)),
		ValidArgsFunction: a.completeCapabilities,
		RunE: func(cmd *cobra.Command, capabilities []string) error {
			w.capabilities = capabilities
			body, err := a.readData(data)
			if err != nil {
				return err
			}
			client, decision, err := a.route(cmd, &w)
			if err != nil {
				return err
			}
			if stream {
				return a.stream(cmd, client, decision, endpoint, body)
			}
			var answer json.RawMessage
			if err := client.Call(cmd.Context(), decision, endpoint, body, &answer); err != nil {
				return callError{err}
			}
			if a.output == "table" {
				_, err := fmt.Fprintf(a.stdout, "%s\n", answer)
				return err
			}
			return a.print(answer, nil)
		},
	}
	w.addFlags(cmd)
	cmd.Flags().StringVar(&endpoint, "endpoint", "", `the service's endpoint, for example "POST /generate" or /generate; needed if it has several`)
	cmd.Flags().StringVar(&data, "data", "", "body of the request")
	cmd.Flags().BoolVar(&stream, "stream", false, "write what the service reports while it works, one event a line")
	return cmd
}

// readData returns nil for no body.
func (a *app) readData(data string) (any, error) {
	text := []byte(data)
	var err error
	switch {
	case data == "":
		return nil, nil
	case data == "-":
		text, err = io.ReadAll(io.LimitReader(a.stdin, 64<<20))
	case strings.HasPrefix(data, "@"):
		text, err = os.ReadFile(data[1:])
	}
	if err != nil {
		return nil, err
	}
	if !json.Valid(text) {
		return nil, usageError{fmt.Errorf("the body is not JSON")}
	}
	return json.RawMessage(text), nil
}

func (a *app) stream(cmd *cobra.Command, client *caio.Client, decision *caio.Decision, endpoint string, body any) error {
	for event, err := range client.Stream(cmd.Context(), decision, endpoint, body) {
		if err != nil {
			return callError{err}
		}
		if err := a.printEvent(event); err != nil {
			return err
		}
	}
	return nil
}

// printEvent writes an event in one line or, as YAML, in one document.
func (a *app) printEvent(event caio.Event) error {
	if a.output == "table" {
		_, err := fmt.Fprintf(a.stdout, "%s %s\n", event.Name, strings.ReplaceAll(string(event.Data), "\n", " "))
		return err
	}
	object := map[string]any{"event": event.Name, "id": event.ID, "data": string(event.Data)}
	if json.Valid(event.Data) {
		object["data"] = event.Data
	}
	if a.output == "json" {
		return json.NewEncoder(a.stdout).Encode(object)
	}
	if _, err := fmt.Fprintln(a.stdout, "---"); err != nil {
		return err
	}
	return a.print(object, nil)
}
