package registry

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
)

const (
	maxLoads       = 2                // contracts that are read at the same time
	maxLoadWait    = 10 * time.Second // for others
	loadRetryAfter = 5 * time.Second
)

// A loadLimiter bounds the contracts that the registry reads for requests at the same time. Most take less than a
// millisecond, but one may take half a second and 64 MiB.
type loadLimiter chan struct{}

func newLoadLimiter() loadLimiter { return make(loadLimiter, maxLoads) }

// do calls load when it may. It fails without calling load if ctx ends before, or after maxLoadWait.
func (l loadLimiter) do(ctx context.Context, load func() error) error {
	select {
	case l <- struct{}{}:
	default:
		ctx, cancel := context.WithTimeout(ctx, maxLoadWait)
		defer cancel()
		select {
		case l <- struct{}{}:
		case <-ctx.Done():
			return busyLoading()
		}
	}
	defer func() { <-l }()
	return load()
}

func busyLoading() error {
	return &caio.Error{Status: http.StatusServiceUnavailable, Code: wire.RegistryBusy, RetryAfter: loadRetryAfter,
		Message: fmt.Sprintf("the registry reads other contracts, at most %d at a time: try again", maxLoads)}
}
