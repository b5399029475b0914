package cluster

import "time"

// pollInterval is how long [View.Await] waits before it looks again.
const pollInterval = 50 * time.Millisecond

// MayWait says whether a review may wait for the repair controller: it must be
// for an admission request, not for lint or audit, and repair must be on.
func (v *View) MayWait() bool {
	return v.environment.Waiters != nil && v.Admission() && !v.Request.DryRun
}

// Await calls done with one fresh view after another, and returns the first for
// which it is true. It returns nil if that takes more than half of the time
// left to answer, or if the maximum number of reviews are waiting already.
func (v *View) Await(done func(now *View) (bool, error)) (*View, error) {
	deadline, bounded := v.ctx.Deadline()
	if !v.MayWait() || !bounded {
		return nil, nil
	}
	select {
	case v.environment.Waiters <- struct{}{}:
		defer func() { <-v.environment.Waiters }()
	default:
		return nil, nil
	}
	live := v.environment
	if live.Live != nil {
		live.Source, live.Live, live.Finder = live.Live, nil, nil
	}
	timeout := time.NewTimer(time.Until(deadline) / 2)
	defer timeout.Stop()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		now := live.View(v.ctx, v.Request)
		switch ok, err := done(now); {
		case err != nil:
			return nil, err
		case ok:
			return now, nil
		}
		select {
		case <-ticker.C:
		case <-timeout.C:
			return nil, nil
		case <-v.ctx.Done():
			return nil, v.ctx.Err()
		}
	}
}
