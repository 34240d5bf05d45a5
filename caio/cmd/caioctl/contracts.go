package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/smarthaus/caio-bridge-go/contract"
)

func (a *app) validateCommand() *cobra.Command {
	remote := false
	cmd := &cobra.Command{
		Use:     "validate FILE...",
		Short:   "Check contracts and the schema files they name",
		Example: "  caioctl validate contract.yaml\n  caioctl validate --remote contract.yaml",
		Args:    arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, files []string) error {
			var faults []error
			for _, file := range files {
				faults = append(faults, a.validate(cmd, file, remote))
			}
			return errors.Join(faults...)
		},
	}
	cmd.Flags().BoolVar(&remote, "remote", false, "also ask CAIO whether it would accept them")
	return cmd
}

func (a *app) validate(cmd *cobra.Command, file string, remote bool) error {
	ct, err := contract.LoadFile(file)
	if err != nil {
		return err
	}
	if remote {
		client, err := a.client()
		if err != nil {
			return err
		}
		faults, err := client.Validate(cmd.Context(), ct)
		if err != nil {
			return err
		}
		if len(faults) > 0 {
			return contract.Diagnostics{{File: file, Code: "remote", Message: "CAIO would refuse it: " + fmt.Sprint(faults)}}
		}
	}
	warnings := append(contract.Diagnostics{}, contract.Lint(ct)...) // [] in JSON, not null
	answer := map[string]any{"file": file, "is_valid": true, "service_id": ct.ID, "version": ct.Version, "digest": ct.Digest(), "warnings": warnings}
	return a.print(answer, func(t *tableWriter) {
		t.paintedRow(green, fmt.Sprintf("%s: valid, service %s, version %s", file, ct.ID, ct.Version))
		for _, warning := range warnings {
			t.paintedRow(yellow, fmt.Sprintf("%s:%d:%d: warning: %s [%s]", file, warning.Line, warning.Column, warning.Message, warning.Code))
		}
	})
}

func (a *app) registerCommand() *cobra.Command {
	baseURL := ""
	cmd := &cobra.Command{
		Use:     "register FILE",
		Short:   "Register the service that a contract describes",
		Long:    "Register the service that a contract describes. It succeeds if that very contract is registered already.",
		Example: "  caioctl register contract.yaml\n  caioctl register --base-url https://codex.example contract.yaml",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			ct, err := contract.LoadFile(args[0])
			if err == nil && baseURL != "" {
				ct, err = ct.WithBaseURL(baseURL)
			}
			if err != nil {
				return err
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			registration, err := client.Register(cmd.Context(), ct, nil)
			if err != nil {
				return err
			}
			return a.print(registration, func(t *tableWriter) { t.row(registration.Message) })
		},
	}
	cmd.Flags().StringVar(&baseURL, "base-url", "", "where the service is, if not where the contract says")
	return cmd
}

func (a *app) unregisterCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "unregister ID",
		Short:   "Remove a service",
		Example: "  caioctl unregister codex-bridge-001",
		Args:    arguments(cobra.ExactArgs(1)),

		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			if err := client.Unregister(cmd.Context(), args[0]); err != nil {
				return err
			}
			answer := map[string]any{"service_id": args[0], "status": "unregistered"}
			return a.print(answer, func(t *tableWriter) { t.row("Service " + args[0] + " unregistered") })
		},
	}
}
