package validators

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/internal/pattern"
)

// A word is one of those that a container runs, and where it stands.
type word struct {
	text, field string // the field is command or args
	index       int
}

func (w word) at(container *field.Path) *field.Path { return container.Child(w.field).Index(w.index) }

// program returns the words that a container runs: command and args, or those of
// the script of a shell, if it is one simple command. Behind another script there
// are only words that it may run, and nothing is certain.
func program(c *corev1.Container) (all []word, certain bool) {
	all = make([]word, 0, len(c.Command)+len(c.Args))
	for i, text := range c.Command {
		all = append(all, word{text, "command", i})
	}
	for i, text := range c.Args {
		all = append(all, word{text, "args", i})
	}
	i := scriptAmong(all)
	if i < 0 {
		return all, true
	}
	texts, ok := simpleCommand(all[i].text, c.Env)
	if !ok {
		return all[i+1:], false
	}
	words := make([]word, len(texts))
	for j, text := range texts {
		words[j] = word{text, all[i].field, all[i].index}
	}
	return words, true
}

// runsShell says whether the first word of a container is a shell.
func runsShell(c *corev1.Container) bool {
	words := c.Command
	if len(words) == 0 {
		words = c.Args
	}
	return len(words) > 0 && posixShell(words[0])
}

func posixShell(text string) bool {
	switch path.Base(text) {
	case "sh", "ash", "bash", "dash", "ksh", "zsh":
		return true
	}
	return false
}

// scriptAmong returns the index of the script of a shell, or -1.
func scriptAmong(words []word) int {
	if len(words) == 0 || !posixShell(words[0].text) {
		return -1
	}
	for i := 1; i+1 < len(words) && shellOption().MatchString(words[i].text); i++ {
		if strings.Contains(words[i].text, "c") {
			return i + 1
		}
	}
	return -1
}

// shellOption matches options of a shell that take no value, but for the script
// of c.
var shellOption = pattern.Lazy(`^-[acefilux]+$`)

// simpleCommand returns the words of a script, if it is one simple command of a
// shell, perhaps behind exec: nothing in it runs another command, redirects or
// substitutes. Of variables it knows those that env gives a plain value; a field of
// the Pod is one word, of which only that is known, and is written $.
func simpleCommand(script string, env []corev1.EnvVar) (words []string, ok bool) {
	// Kubernetes replaces $(NAME) before the shell sees it, and $$ too.
	if strings.Contains(script, "$(") || strings.Contains(script, "$$") {
		return nil, false
	}
	var text strings.Builder
	begun := false // a word, which may be empty
	end := func() {
		if begun {
			words = append(words, text.String())
			text.Reset()
			begun = false
		}
	}
	script = strings.TrimSpace(script)
	var quote byte
	for i := 0; i < len(script); i++ {
		b := script[i]
		switch {
		case quote == '\'' && b != quote, quote == '"' && !strings.ContainsRune("\"\\`$", rune(b)):
			text.WriteByte(b)
		case quote != 0 && b == quote:
			quote = 0
		case b == '\\':
			i++
			switch {
			case i == len(script):
				return nil, false
			case script[i] == '\n': // the line goes on
			case quote != 0 && !strings.ContainsRune("\"\\`$", rune(script[i])):
				text.WriteString(script[i-1 : i+1])
			default:
				begun = true
				text.WriteByte(script[i])
			}
		case b == '$':
			m := shellVariable().FindStringSubmatch(script[i:])
			if m == nil {
				return nil, false
			}
			value, known := plainValue(m[1]+m[2], env)
			if !known {
				return nil, false
			}
			begun = true
			text.WriteString(value)
			i += len(m[0]) - 1
		case b == '\'' || b == '"':
			quote, begun = b, true
		case b == ' ' || b == '\t':
			end()
		case strings.ContainsRune("|&;<>()`\n\r", rune(b)), b == '#' && !begun:
			return nil, false
		default:
			begun = true
			text.WriteByte(b)
		}
	}
	end()
	if quote != 0 {
		return nil, false
	}
	for _, before := range []string{"exec", "--"} {
		if len(words) > 1 && words[0] == before {
			words = words[1:]
		}
	}
	// NAME=value may lead a program elsewhere; an option of exec is not known.
	if len(words) == 0 || strings.HasPrefix(words[0], "-") || strings.Contains(words[0], "=") {
		return nil, false
	}
	return words, true
}

// shellVariable matches $NAME and ${NAME}.
var shellVariable = pattern.Lazy(`^\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})`)

// plainValue returns the value of a variable, if it is one word for a shell.
func plainValue(name string, env []corev1.EnvVar) (value string, known bool) {
	for _, e := range slices.Backward(env) { // of several of one name the last
		if e.Name != name {
			continue
		}
		if e.ValueFrom != nil {
			ref := e.ValueFrom.FieldRef
			return "$", ref != nil && !strings.HasPrefix(ref.FieldPath, "metadata.annotations")
		}
		return e.Value, oneWord().MatchString(e.Value)
	}
	return "$", name == "HOSTNAME" // every container has it
}

var oneWord = pattern.Lazy(`^[A-Za-z0-9._/:@%+=,-]+$`)
