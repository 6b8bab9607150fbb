package configs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
)

// MaxFileBytes is the length above which a configuration file is refused.
const MaxFileBytes = 1 << 20

const (
	envPrefix = "SIGNET_"
	// envConfig names the file. Whoever calls Load reads it, for Sources.Path.
	envConfig = "SIGNET_CONFIG"
)

// Sources are the places that values come from. A flag beats the environment,
// the environment beats the file, the file beats the default.
type Sources struct {
	// Path names the file; empty means that there is none.
	Path string
	// File is the text of the file. If it is nil, Load reads Path.
	File []byte
	// Env is the environment as os.Environ returns it. What does not begin with
	// SIGNET_ is left alone.
	Env []string
	// Flags are the flags that were given, by setting ("tokens.access"): what
	// the function that [Flags] returned gives.
	Flags map[string]string
	// Claim reports whether claims.include may name it; nil takes every name.
	Claim func(name string) bool
}

// Load reads a configuration from its sources and checks it. The error is
// always a *[Faults]; with an error there is no Config.
func Load(src Sources) (*Config, error) {
	l := &loader{config: Default(), origins: map[string]origin{}, broken: map[string]bool{}}
	l.file(src)
	l.env(src.Env)
	l.flags(src.Flags)
	l.check(src.Claim)
	if len(l.faults) > 0 {
		sortFaults(l.faults)
		return nil, &Faults{List: l.faults}
	}
	return l.config, nil
}

// A loader fills a Config and remembers where each value came from.
type loader struct {
	config  *Config
	origins map[string]origin
	// broken are the settings with a fault already: rules about them would
	// only speak of their defaults.
	broken map[string]bool
	faults []Fault
}

func (l *loader) fault(o origin, key, format string, args ...any) {
	l.broken[key] = true
	l.faults = append(l.faults, o.fault(key, format, args...))
}

// set takes the text of a setting from one of its places.
func (l *loader) set(o origin, s setting, text string) {
	l.origins[s.key] = o
	if err := s.set(l.config, text); err != nil {
		l.fault(o, s.key, "%v", err)
	}
}

func (l *loader) file(src Sources) {
	if src.Path == "" && src.File == nil {
		return
	}
	name := src.Path
	if name == "" {
		name = "signet.yaml"
	}
	text := src.File
	if text == nil {
		var err error
		if text, err = readFile(src.Path); err != nil {
			l.fault(origin{name, rankFile}, "", "%v", err)
			return
		}
	}
	if len(text) > MaxFileBytes {
		l.fault(origin{name, rankFile}, "", "is larger than %s, which no configuration is; is it the right file?", formatSize(MaxFileBytes))
		return
	}
	l.yaml(name, text)
}

// readFile reads at most one byte more than a configuration may have.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, pathProblem(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return nil, pathProblem(err)
	}
	return text, nil
}

// pathProblem leaves out the path, which the fault's place already says.
func pathProblem(err error) error {
	var pe *fs.PathError
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("there is no such file; name another, or leave the file out to use the defaults")
	}
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("cannot be read: %w", err)
}

func (l *loader) env(environ []string) {
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || name == envConfig || serviceLink.MatchString(entry) {
			continue
		}
		o := origin{name, rankEnv}
		i := slices.IndexFunc(table, func(s setting) bool { return envName(s.key) == name })
		if i < 0 {
			l.fault(o, "", "there is no such setting%s", didYouMean(nearestEnv(name)))
			continue
		}
		l.set(o, table[i], text)
	}
}

// serviceLink matches what Kubernetes and Docker links put into the environment
// of every container beside a service called signet: no operator wrote it, and
// refusing it would keep the server from starting there. SIGNET_PORT with a
// plain number is not among it.
var serviceLink = regexp.MustCompile(`^SIGNET_(\w+_)?(` +
	`SERVICE_HOST=|SERVICE_PORT(_\w+)?=\d|PORT=\w+://|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=)`)

// nearestEnv compares what follows the prefix, which all have in common.
func nearestEnv(name string) string {
	names := []string{strings.TrimPrefix(envConfig, envPrefix)}
	for _, s := range table {
		names = append(names, strings.TrimPrefix(envName(s.key), envPrefix))
	}
	if near := nearest(strings.TrimPrefix(name, envPrefix), names); near != "" {
		return envPrefix + near
	}
	return ""
}

func (l *loader) flags(flags map[string]string) {
	for key := range flags {
		if _, ok := lookup(key); !ok {
			l.fault(origin{"--" + flagName(key), rankFlag}, "", "there is no such setting")
		}
	}
	for _, s := range table {
		text, ok := flags[s.key]
		if !ok {
			continue
		}
		o := origin{"--" + flagName(s.key), rankFlag}
		if s.inFlag != nil {
			if err := s.inFlag(text); err != nil {
				l.fault(o, s.key, "%v", err)
				continue
			}
		}
		l.set(o, s, text)
	}
}

// check applies the rules across settings, and puts each fault where one of
// its settings was written.
func (l *loader) check(claim func(string) bool) {
	for _, f := range append(l.config.Check(), l.config.checkInclude(claim)...) {
		if l.broken[f.Key] || f.also != "" && l.broken[f.also] {
			continue
		}
		o, written := l.origins[f.Key]
		if !written {
			o, written = l.origins[f.also]
		}
		if !written {
			o = origin{"default", rankDefault}
		}
		f.Place, f.rank = o.place, o.rank
		l.faults = append(l.faults, f)
	}
}

func didYouMean(word string) string {
	if word == "" {
		return ""
	}
	return "; did you mean " + word + "?"
}
