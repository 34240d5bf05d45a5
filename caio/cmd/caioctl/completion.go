package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/smarthaus/caio-bridge-go/caio"
)

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Write the script that lets a shell complete commands, flags, services and capabilities",
		Example: "  source <(caioctl completion bash)\n" +
			"  caioctl completion zsh > \"${fpath[1]}/_caioctl\"\n" +
			"  caioctl completion fish > ~/.config/fish/completions/caioctl.fish",
		Args:                  arguments(cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs)),
		ValidArgs:             shells,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.stdout, true)
			case "zsh":
				return root.GenZshCompletion(a.stdout)
			case "fish":
				return root.GenFishCompletion(a.stdout, true)
			default:
				return root.GenPowerShellCompletionWithDesc(a.stdout)
			}
		},
	}
}

// completeIDs offers the services that CAIO has, with their names.
func (a *app) completeIDs(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var ids []cobra.Completion
	for _, s := range a.offered(cmd.Context(), len(args) == 0) {
		ids = append(ids, cobra.CompletionWithDesc(s.ID, s.Name))
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// completeCapabilities offers those that services have and that are not there yet.
func (a *app) completeCapabilities(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var types []cobra.Completion
	for _, s := range a.offered(cmd.Context(), true) {
		types = append(types, s.Capabilities...)
	}
	slices.Sort(types)
	types = slices.DeleteFunc(slices.Compact(types), func(c string) bool { return slices.Contains(args, c) })
	return types, cobra.ShellCompDirectiveNoFileComp
}

// offered returns what CAIO has, or nothing: somebody waits at the keyboard.
func (a *app) offered(ctx context.Context, wanted bool) []caio.Service {
	client, err := a.client()
	if err != nil || !wanted {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	services, _ := client.Services(ctx, caio.Filter{})
	return services
}
