package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"signet/internal/store/transfer"
)

// linesEvery is how often a migration says how far it is where nobody looks at a bar.
const linesEvery = 10 * time.Second

// worthABar is how many records take a while.
const worthABar = 1000

// migrationProgress shows how far a migration is: a bar on a terminal, lines elsewhere.
type migrationProgress struct {
	w      io.Writer
	screen *os.File // nil if it is no terminal
	bar    *progressbar.ProgressBar
	step   string // what is being done
	said   time.Time
}

func (a *app) migrationProgress() *migrationProgress {
	p := &migrationProgress{w: a.err}
	if screen, ok := a.err.(*os.File); ok && term.IsTerminal(int(screen.Fd())) {
		p.screen = screen
	}
	return p
}

// tell is a transfer.Progress.
func (p *migrationProgress) tell(kind transfer.Kind, checking bool, done, all int) {
	step := fmt.Sprintf("copying %s", kind)
	if checking {
		step = fmt.Sprintf("reading %s back", kind)
	}
	if p.screen != nil {
		if all >= worthABar {
			p.draw(step, done, all)
		}
		return
	}
	if step != p.step {
		p.step, p.said = step, time.Now()
	}
	if time.Since(p.said) >= linesEvery {
		fmt.Fprintf(p.w, "%s: %d of %d\n", step, done, all)
		p.said = time.Now()
	}
}

func (p *migrationProgress) draw(step string, done, all int) {
	if step != p.step {
		p.end()
		p.step = step
		p.bar = progressbar.NewOptions64(int64(all), progressbar.OptionSetWriter(p.screen), progressbar.OptionShowCount(),
			progressbar.OptionSetDescription(step), progressbar.OptionClearOnFinish(), progressbar.OptionUseANSICodes(true))
	}
	_ = p.bar.Set64(int64(min(done, all))) // it only shows
}

// end clears the bar.
func (p *migrationProgress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
