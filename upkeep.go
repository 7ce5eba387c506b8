package postrider

import (
	"context"
	"time"
)

// Upkeep does every hour, until ctx ends, what keeps direct delivery safe beside the deliveries: it refreshes the
// MTA-STS policies that are known before they expire (RFC 8461 s. 3.3), and sends the TLS reports that are due when
// Reports is set (RFC 8460 s. 4). Client.Run does it for its Transport; a program without a Queue that lives long calls
// it in a goroutine. What goes wrong is told as a notice, and tried again an hour later.
func (d *Direct) Upkeep(ctx context.Context) {
	d.once.Do(d.init)
	hour := time.NewTicker(time.Hour)
	defer hour.Stop()
	for {
		d.upkeep(ctx)
		select {
		case <-hour.C:
		case <-ctx.Done():
			return
		}
	}
}

func (d *Direct) upkeep(ctx context.Context) {
	for _, p := range d.router.Policies {
		if p, ok := p.(interface{ Refresh(context.Context) error }); ok {
			if err := p.Refresh(ctx); err != nil && ctx.Err() == nil {
				notice(ctx, "policies were not refreshed: "+err.Error())
			}
		}
	}
	if d.Reports != nil {
		if err := d.Reports.Send(ctx); err != nil && ctx.Err() == nil {
			notice(ctx, "TLS reports were not sent: "+err.Error())
		}
	}
}
