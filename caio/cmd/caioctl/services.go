package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/smarthaus/caio-bridge-go/caio"
)

func (a *app) servicesCommand() *cobra.Command {
	var query caio.Filter
	cmd := &cobra.Command{
		Use:     "services",
		Short:   "List the registered services",
		Example: "  caioctl services\n  caioctl services --capability code_generation -o json",
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			services, err := client.Services(cmd.Context(), query)
			if err != nil {
				return err
			}
			answer := map[string]any{"services": services, "count": len(services)}
			return a.print(answer, func(t *tableWriter) {
				if len(services) == 0 {
					t.row("No services.")
					return
				}
				t.paintedRow(bold, "ID", "NAME", "VERSION", "STATUS", "CAPABILITIES")
				for _, s := range services {
					t.paintedRow(statusColour(s.Status), s.ID, s.Name, s.Version, s.Status, strings.Join(s.Capabilities, ","))
				}
			})
		},
	}
	cmd.Flags().StringVar(&query.Capability, "capability", "", "only services that have it")
	cmd.Flags().StringVar(&query.Status, "status", "", `only services in that status, for example "active"`)
	return cmd
}

func (a *app) serviceCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "service ID",
		Short:   "Show one service with its contract",
		Example: "  caioctl service codex-bridge-001\n  caioctl service codex-bridge-001 -o yaml",
		Args:    arguments(cobra.ExactArgs(1)),

		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			service, err := client.Service(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(service, func(t *tableWriter) { showService(t, service) })
		},
	}
}

// statusColour marks services that are not routed to.
func statusColour(status string) colour {
	if status == "active" {
		return plain
	}
	return yellow
}

func showService(t *tableWriter, s *caio.Service) {
	t.row("id", s.ID)
	t.row("name", s.Name)
	t.row("version", s.Version)
	t.paintedRow(statusColour(s.Status), "status", s.Status)
	t.row("capabilities", strings.Join(s.Capabilities, ", "))
	showGuarantees(t, s.Guarantees)
	if s.Contract == nil {
		return
	}
	t.row("address", s.Contract.API.BaseURL)
	for _, endpoint := range s.Contract.API.Endpoints {
		t.row("endpoint", endpoint)
	}
}

// showGuarantees shows those in CAIO's form as a comparison, others as they are.
func showGuarantees(t *tableWriter, guarantees map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(guarantees)) {
		text, _ := json.Marshal(guarantees[name]) // it came as JSON
		var g struct {
			Property string
			Bound    struct{ Min, Max *float64 }
		}
		if json.Unmarshal(text, &g) != nil || g.Property == "" || g.Bound.Min == nil && g.Bound.Max == nil {
			t.row("guarantee", name+" "+string(text))
			continue
		}
		if g.Bound.Min != nil {
			t.row("guarantee", fmt.Sprintf("%s >= %g", g.Property, *g.Bound.Min))
		}
		if g.Bound.Max != nil {
			t.row("guarantee", fmt.Sprintf("%s <= %g", g.Property, *g.Bound.Max))
		}
	}
}
