package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
)

var errForged = errors.New("the trace does not verify")

func (a *app) traceCommand() *cobra.Command {
	verify := false
	cmd := &cobra.Command{
		Use:     "trace DECISION",
		Short:   "Show the record of a decision",
		Example: "  caioctl trace dec-kq2hv5x...\n  caioctl trace dec-kq2hv5x... --verify\n  caioctl trace dec-kq2hv5x... -o json > trace.json",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			trace, err := client.Trace(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if verify {
				if err := verified(trace.Raw); err != nil {
					return err
				}
			}
			return a.print(trace.Raw, func(t *tableWriter) { showTrace(t, trace, verify) })
		},
	}
	cmd.Flags().BoolVar(&verify, "verify", false, "recompute its hash and proofs, as this project's registry makes them")
	return cmd
}

func (a *app) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "verify FILE",
		Short:   "Recompute hash and proofs of a trace in a file, or on the standard input with -",
		Example: "  caioctl trace dec-kq2hv5x... -o json | caioctl verify -",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			var text []byte
			var err error
			if args[0] == "-" {
				text, err = io.ReadAll(io.LimitReader(a.stdin, 64<<20))
			} else {
				text, err = os.ReadFile(args[0])
			}
			if err != nil {
				return err
			}
			if err := verified(text); err != nil {
				return err
			}
			var trace struct {
				ID   string `json:"decision_id"`
				Hash string `json:"hash"`
			}
			if err := json.Unmarshal(text, &trace); err != nil {
				return err
			}
			answer := map[string]any{"decision_id": trace.ID, "hash": trace.Hash, "verified": true}
			return a.print(answer, func(t *tableWriter) { t.row(fmt.Sprintf("%s verifies, %s", trace.ID, trace.Hash)) })
		},
	}
}

func verified(trace []byte) error {
	if err := registry.Verify(trace); err != nil {
		return fmt.Errorf("%w:\n%w", errForged, err)
	}
	return nil
}

func showTrace(t *tableWriter, trace *caio.Trace, verified bool) {
	t.row("decision", trace.DecisionID)
	if !trace.Timestamp.IsZero() {
		t.row("at", trace.Timestamp.Format(time.RFC3339))
	}
	if trace.Decision != nil {
		t.row("service", trace.Decision.ServiceID)
	}
	if trace.Hash != "" {
		t.row("hash", trace.Hash)
	}
	if verified {
		t.paintedRow(green, "verified", "yes: hash and proofs were recomputed")
	}
	showProofs(t, trace.Proofs)
}

func showProofs(t *tableWriter, proofs []caio.Proof) {
	for _, proof := range proofs {
		state, mark := "valid", plain
		if !proof.Valid {
			state, mark = "INVALID", red
		}
		step := ""
		if proof.Step > 0 {
			step = fmt.Sprintf("step %d ", proof.Step)
		}
		t.paintedRow(mark, "proof", strings.TrimSuffix(step+proof.Type+" "+state+": "+proof.Statement, ": "))
		for _, clause := range proof.Clauses {
			state, mark := "met", plain
			if !clause.Met {
				state, mark = "FAILED", red
			}
			t.paintedRow(mark, "  "+state, clause.Requirement+": "+clause.Detail)
		}
	}
}
