package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/smarthaus/caio-bridge-go/contract"
)

var (
	errVersion     = errors.New("the version does not say what changed")
	errUnknownCode = errors.New("no rule has that code")
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "explain [CODE...]",
		Short:   "Say what rules of contracts demand, and why; without a code, list all codes",
		Example: "  caioctl explain\n  caioctl explain guarantee/empty-bound",
		RunE: func(_ *cobra.Command, codes []string) error {
			if len(codes) == 0 {
				return a.print(contract.Codes(), func(t *tableWriter) {
					for _, code := range contract.Codes() {
						t.row(code)
					}
				})
			}
			texts := make(map[string]string, len(codes))
			for _, code := range codes {
				if texts[code] = contract.Explain(code); texts[code] == "" {
					return fmt.Errorf("%w: %q", errUnknownCode, code)
				}
			}
			return a.print(texts, func(t *tableWriter) {
				for i, code := range codes {
					if i > 0 {
						t.row()
					}
					for line := range strings.Lines(texts[code]) {
						t.row(strings.TrimRight(line, "\n"))
					}
				}
			})
		},
	}
}

func (a *app) diffCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "diff [OLD] NEW",
		Short: "Classify the changes between two versions of a contract, and check the version's step",
		Long: "Classify the changes between two versions of a contract: breaking, undecided, additive or neutral to callers. Without\n" +
			"OLD, the registered contract of the same service is taken. The status is 8 if the version does not make the step\n" +
			"that the changes need.",
		Example: "  caioctl diff v1/contract.yaml v2/contract.yaml\n  caioctl diff contract.yaml",
		Args:    arguments(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, files []string) error {
			after, err := contract.LoadFile(files[len(files)-1])
			if err != nil {
				return err
			}
			before, err := a.earlier(cmd, files, after)
			if err != nil {
				return err
			}
			changes := contract.Diff(before, after)
			changes.List = append([]contract.Change{}, changes.List...) // [] in JSON, not null
			err = a.print(changes, func(t *tableWriter) { showChanges(t, changes) })
			if err == nil && changes.VersionError != "" {
				err = fmt.Errorf("%w: %s", errVersion, changes.VersionError)
			}
			return err
		},
	}
}

// earlier returns the first of two contracts, or the registered one.
func (a *app) earlier(cmd *cobra.Command, files []string, after *contract.Contract) (*contract.Contract, error) {
	if len(files) == 2 {
		return contract.LoadFile(files[0])
	}
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	service, err := client.Service(cmd.Context(), after.ID)
	if err != nil {
		return nil, err
	}
	if service.Contract == nil {
		return nil, fmt.Errorf("CAIO does not show the contract of %s: name a file to compare with", after.ID)
	}
	return service.Contract, nil
}

func showChanges(t *tableWriter, changes contract.Changes) {
	if len(changes.List) == 0 {
		t.row("Nothing changed.")
		return
	}
	t.paintedRow(bold, "CLASS", "STEP", "WHERE", "WHAT")
	for _, change := range changes.List {
		t.paintedRow(map[contract.Class]colour{contract.Breaking: red, contract.Unknown: yellow}[change.Class], change.Class, change.Bump, change.Path, change.Why)
	}
	t.row()
	t.row(fmt.Sprintf("Needed: %s. Made: %s.", changes.Required, changes.Made))
}
