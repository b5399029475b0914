package validators

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"stayput.dev/cluster"
	"stayput.dev/internal/pattern"
)

var workloadPreStop = &Rule{
	Name:  "workload-pre-stop",
	Level: Warn,
	Loses: LosesData,
	Doc: `a preStop hook must leave the process time to shut down

The grace period begins with the deletion of the Pod, and the preStop hook runs
first. A sleep in the hook uses up that period. If it uses up the whole
terminationGracePeriodSeconds, 30 by default, the process gets SIGTERM at the
end of the period, and SIGKILL two seconds later. A database is killed at each
update, before it has written what it holds in memory.

Set terminationGracePeriodSeconds to the sleep plus the time of a clean shutdown
under load. The rule adds up the action sleep, and sleep commands that follow
each other in a command or a shell script; it cannot know how long other
commands of a hook take.`,

	Exempt: "the hook itself ends the process, while it sleeps",

	Checks: ofPods(func(p *Pass, _ cluster.Object, spec *corev1.PodSpec, at *field.Path) error {
		period := ptr.Deref(spec.TerminationGracePeriodSeconds, corev1.DefaultTerminationGracePeriodSeconds)
		if period <= 0 {
			return nil // no hook is run
		}
		for _, c := range containers(spec) {
			if c.item.Lifecycle == nil || c.item.Lifecycle.PreStop == nil {
				continue
			}
			hook, where := c.item.Lifecycle.PreStop, at.Child(c.field).Index(c.index).Child("lifecycle", "preStop")
			var seconds int64
			switch {
			case hook.Sleep != nil:
				seconds, where = hook.Sleep.Seconds, where.Child("sleep", "seconds")
			case hook.Exec != nil:
				seconds, where = sleeps(hook.Exec.Command), where.Child("exec", "command")
			}
			if seconds < period {
				continue
			}
			fix := setting(at.Child("terminationGracePeriodSeconds"), seconds+corev1.DefaultTerminationGracePeriodSeconds, 1)
			p.Report(field.Invalid(where, seconds, fmt.Sprintf("must sleep less than terminationGracePeriodSeconds, %d; "+
				"SIGKILL follows 2 seconds after SIGTERM", period)),
				fix.Text()+" or more")
			p.Fix(fix)
		}
		return nil
	}, append(inContainers("lifecycle"), "terminationGracePeriodSeconds")),
}

// sleeps returns for how many seconds a command sleeps at the least: sleep itself,
// or those that a shell comes to one after the other, up to what may branch.
func sleeps(command []string) int64 {
	if len(command) > 0 && path.Base(command[0]) == "sleep" {
		return int64(lasts(command[1:]).Seconds())
	}
	if len(command) < 3 || !shell(command[0]) || !script().MatchString(command[1]) {
		return 0
	}
	var all time.Duration
	for _, statement := range strings.FieldsFunc(command[2], func(r rune) bool { return r == ';' || r == '\n' }) {
		for _, step := range strings.Split(statement, "&&") {
			words := strings.Fields(step)
			if strings.ContainsAny(step, "|&(){}<`\\\"'$#") || len(words) > 0 && controls[words[0]] {
				return int64(all.Seconds())
			}
			if len(words) == 0 || path.Base(words[0]) != "sleep" {
				break // what stands behind && may not be run
			}
			all = min(all+lasts(words[1:]), longest)
		}
	}
	return int64(all.Seconds())
}

// longest is more than any grace period.
const longest = 10_000 * time.Hour

// controls are words of a shell after which nothing is certain.
var controls = map[string]bool{
	"if": true, "while": true, "until": true, "for": true, "case": true, "exit": true, "exec": true, "trap": true,
	"return": true, "kill": true, "function": true, "!": true,
}

// lasts returns what the arguments of sleep come to, 0 where it cannot be read.
func lasts(args []string) (all time.Duration) {
	units := map[string]time.Duration{
		"": time.Second, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
	}
	for _, arg := range args {
		m := duration().FindStringSubmatch(arg)
		if m == nil {
			return 0
		}
		n, _ := strconv.ParseFloat(m[1], 64) // a number, or it would not match
		all = min(all+time.Duration(min(n, 10_000)*float64(units[m[2]])), longest)
	}
	return all
}

// duration matches an argument of sleep.
var duration = pattern.Lazy(`^(\d{1,9}(?:\.\d{1,9})?)([smhd]?)$`)
