package speaker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
)

const (
	// statusPace bounds how often the Speaker object is written while addresses come
	// and go.
	statusPace = 50 * time.Millisecond
	// statusTimeout bounds one write, so that a silent API server does not keep the
	// next one waiting for long.
	statusTimeout = 2 * time.Second
	statusRetry   = time.Second
	// doubtAfter is how long the object may show something else than was written until it
	// is written anew. A patch that timed out may be delivered long after a later look
	// found nothing to do.
	doubtAfter = 3 * time.Second
)

// statusWriter tells the other speakers and the commands what this one does. It
// has its own goroutine: an API server that is gone must not hold up the loop.
type statusWriter struct {
	log  *slog.Logger
	kick chan struct{}

	// turn has a value while a write is under way: one at a time.
	turn chan struct{}
	out  kube.SpeakerWriter

	mu   sync.Mutex
	want *lb.Speaker
	// differs is since when the object shows something else; doubt makes the next write
	// look at it anew.
	differs time.Time
	doubt   bool
	shown   bool // the object was there when it was last looked at
}

func newStatusWriter(out kube.SpeakerWriter, log *slog.Logger) *statusWriter {
	return &statusWriter{out: out, log: log, kick: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
}

// write sets what the object should say. It does not block.
func (s *statusWriter) write(speaker lb.Speaker) {
	s.mu.Lock()
	s.want = &speaker
	s.mu.Unlock()
	s.again()
}

// compare takes what the API server shows of this speaker, nil where it has no object.
// next is when to do so again at the latest, zero for never.
func (s *statusWriter) compare(now time.Time, shown *lb.Speaker) (next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.shown
	s.shown = shown != nil
	switch {
	case s.want == nil || shown != nil && kube.SameSpeaker(shown, s.want):
		s.differs = time.Time{}
		return next
	case was && !s.shown: // deleted, as with its Node: nobody counts on us until it is back
		s.differs, s.doubt = now, true
		s.again()
	case s.differs.IsZero():
		s.differs = now
	case now.Sub(s.differs) >= doubtAfter:
		s.differs, s.doubt = now, true
		s.again()
	}
	return s.differs.Add(doubtAfter)
}

func (s *statusWriter) again() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// run writes the latest, at once and then at its pace, until ctx is done.
func (s *statusWriter) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.kick:
		}
		pause := statusPace
		if err := s.flush(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("speaker status not written", "err", err)
			pause = statusRetry
			s.again()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (s *statusWriter) flush(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	want, doubt := s.want, s.doubt
	s.doubt = false
	s.mu.Unlock()
	if want == nil {
		return nil
	}
	if doubt {
		s.out.Forget()
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	return s.out.Write(ctx, want)
}

// last says that nothing is announced any more. That it cannot be said is no
// error: the node's absence says it too.
func (s *statusWriter) last(ctx context.Context, speaker lb.Speaker) error {
	speaker.Claims = nil
	s.write(speaker)
	if err := s.flush(ctx); err != nil {
		s.log.Warn("speaker status not written", "err", err)
	}
	return nil
}
