package validators_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"stayput.dev/cluster"
	"stayput.dev/validators"
)

type ownerRef = metav1.OwnerReference

// errProse says that a remedy is for a reader who thinks: no machine can do it.
var errProse = errors.New("prose")

var (
	// orRemedy stands between the ways to mend one thing.
	orRemedy = regexp.MustCompile(`; or, (?:if it belongs to these|if they must meet to be ready|to end this|to lose ` +
		`them), |; or, |; or |, or (?:for each volume )?|; to (?:wipe it|let it go|use what they hold)(?:: |, )`)

	// andStep stands between the steps of one way.
	andStep = regexp.MustCompile(` && |, then |; then |, and (?:set )?| and (?:apply)`)

	// aside is what a remedy says beside what is to be done.
	aside = regexp.MustCompile(`^(?:at once: |to keep the disk: |to remove the Pod: |to pass on its data: |to start ` +
		`empty: |if \S+ can, |first |set )+` +
		`|, before a Pod uses it$|, if its driver can$|; in between .*$|; the Pods run on$|, for nothing is on them yet$|, ` +
		`which touches no volume$` +
		`| or more$|, for new replicas alone$| \(headless, selects these Pods\)$|, and so on$|` +
		`; for another (class|volume) .*$|; ` +
		`for a smaller volume .*$|, and again$|, through [A-Z]\w+ \S+$`)

	choices     = regexp.MustCompile(` \(there are: ([^,)]*)[^)]*\)`)
	placeholder = regexp.MustCompile(`<[A-Za-z][^>]*>`)
	loop        = regexp.MustCompile(`^for i in \$\(seq (\d+) (\d+)\); do (.*); done$`)
)

// nested says which bytes of a text stand in brackets or quotes.
func nested(text string) []bool {
	in := make([]bool, len(text))
	depth, quote := 0, byte(0)
	for i := range len(text) {
		in[i] = depth > 0 || quote != 0
		switch c := text[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case strings.IndexByte("{[(", c) >= 0:
			depth++
		case strings.IndexByte("}])", c) >= 0:
			depth--
		}
	}
	return in
}

// split cuts a text where a separator stands outside of brackets and quotes.
func split(text string, sep *regexp.Regexp) (parts []string) {
	in, from := nested(text), 0
	for _, m := range sep.FindAllStringIndex(text, -1) {
		if in[m[0]] || m[0] < from {
			continue
		}
		end := m[1]
		if strings.HasSuffix(text[m[0]:m[1]], " apply") {
			end = m[0] + len(" and ")
		}
		parts, from = append(parts, text[from:m[0]]), end
	}
	return append(parts, text[from:])
}

// A mending is one of the ways of a remedy, and what came of it.
type mending struct {
	text  string
	scene *scene
	err   error
}

// mend does a remedy in each of its ways, each to a scene of its own.
func mend(fresh func() *scene, f validators.Finding) (all []mending) {
	for _, way := range split(f.Remedy.String(), orRemedy) {
		s := fresh()
		m := &mender{scene: s, finding: f}
		all = append(all, mending{way, s, m.way(way)})
	}
	return all
}

type mender struct {
	*scene
	finding validators.Finding
	choice  string
}

// way does the steps of one way.
func (m *mender) way(text string) error {
	if c := choices.FindStringSubmatch(text); c != nil {
		m.choice = c[1]
		text = choices.ReplaceAllString(text, "")
	}
	if placeholder.MatchString(strings.ReplaceAll(text, "<file>", "")) {
		return fmt.Errorf("%w: it has a placeholder", errProse)
	}
	for {
		bare := aside.ReplaceAllString(text, "")
		if bare == text {
			break
		}
		text = bare
	}
	for _, step := range split(text, andStep) {
		if err := m.step(strings.TrimSpace(step)); err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
	}
	return nil
}

// A form is how a step may be written, and what it does.
type form struct {
	text *regexp.Regexp
	do   func(m *mender, key string, part []string) error
}

var forms []form

func init() { // for they call each other
	forms = []form{
		{regexp.MustCompile(`^kubectl apply -f <file>( with another)?$`), (*mender).apply},
		{regexp.MustCompile(`^kubectl apply -f <file> with (\w+: .*)$`), func(m *mender, key string, part []string) error {
			if err := m.fields(key, part[1]); err != nil {
				return err
			}
			return m.apply(key, []string{"", ""})
		}},
		{regexp.MustCompile(`^kubectl replace --force -f FILE$`), func(*mender, string, []string) error { return nil }},
		{regexp.MustCompile(`^kubectl (edit|get) .*$`), func(*mender, string, []string) error { return errProse }},
		{regexp.MustCompile(`^(kubectl .*)$`), func(m *mender, _ string, part []string) error { return m.kubectl(part[1]) }},
		{loop, func(m *mender, _ string, part []string) error {
			from, _ := strconv.Atoi(part[1])
			to, _ := strconv.Atoi(part[2])
			for i := from; i <= to; i++ {
				if err := m.kubectl(strings.ReplaceAll(part[3], "$i", strconv.Itoa(i))); err != nil {
					return err
				}
			}
			return nil
		}},
		{regexp.MustCompile(`^copy the data first \(.*\)$`), func(*mender, string, []string) error { return nil }},
		{regexp.MustCompile(`^leave volume \S+ out$`), func(m *mender, key string, _ []string) error {
			return m.unset(key, volumePath(m.finding.Field))
		}},
		{regexp.MustCompile(`^name another after (kubectl .*)$`), func(m *mender, key string, part []string) error {
			if err := m.kubectl(part[1]); err != nil {
				return err
			}
			return m.apply(key, []string{"", "another"})
		}},
		{regexp.MustCompile(`^name another class after (kubectl .*)$`), func(m *mender, key string, part []string) error {
			if err := m.kubectl(part[1]); err != nil {
				return err
			}
			if err := m.fields(key, "storageClassName: "+m.choice); err != nil {
				return err
			}
			return m.apply(key, []string{"", ""})
		}},
		{regexp.MustCompile(`^apply (\{.*\})$`), func(m *mender, _ string, part []string) error { return m.add(part[1]) }},
		{
			regexp.MustCompile(`^create StorageClass (\S+)( with allowVolumeExpansion: true)?$`),
			func(m *mender, _ string, part []string) error {
				return m.add(
					fmt.Sprintf(
						"{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: %s}, provisioner: example.com/disk, "+
							"reclaimPolicy: Retain, volumeBindingMode: WaitForFirstConsumer, allowVolumeExpansion: true}",
						part[1],
					),
				)
			},
		},
		{
			regexp.MustCompile(`^create VolumeAttributesClass (\S+)(?: with driverName: (\S+))?$`),
			func(m *mender, _ string, part []string) error {
				return m.add(
					fmt.Sprintf("{apiVersion: storage.k8s.io/v1, kind: VolumeAttributesClass, metadata: {name: %s}, driverName: %q, "+
						"parameters: {iops: '1'}}", part[1], part[2]),
				)
			},
		},
		{regexp.MustCompile(`^leave (volumeAttributesClassName) out$`), func(m *mender, key string, part []string) error {
			return m.unset(key, []string{"spec", part[1]})
		}},
		{regexp.MustCompile(`^apply the claim$`), func(*mender, string, []string) error { return nil }},
		{regexp.MustCompile(`^take it out of the template: (.*)$`), func(m *mender, key string, part []string) error {
			if err := m.unset(key, cluster.SplitPath(m.finding.Field)); err != nil {
				return err
			}
			return m.step(part[1])
		}},
		{regexp.MustCompile(`^make (?:it|the Pod) again with (?:a hostname of its own, )?(.*)$`),
			func(m *mender, key string, part []string) error {
				if err := m.fields(key, part[1]); err != nil {
					return err
				}
				return m.apply(key, []string{"", ""})
			}},
		{regexp.MustCompile(`^remove ([A-Z]\w+) (\S+)$`), func(m *mender, _ string,
			part []string) error {
			return m.remove(m.named(part[1], part[2]), false)
		}},
		{regexp.MustCompile(`^remove (\w+) from ([A-Z]\w+) (\S+)$`), func(m *mender, _ string, part []string) error {
			return m.unset(m.named(part[2], part[3]), []string{"spec", part[1]})
		}},
		{regexp.MustCompile(`^remove (\S+(?: and \S+)*) from the (?:claim template|selector)$`), (*mender).takeKeys},
		{regexp.MustCompile(`^remove the selector$`), func(m *mender, key string,
			_ []string) error {
			return m.takeOut(key, []string{"", "", "it", ""})
		}},
		{regexp.MustCompile(`^remove (?:the (label) )?(\S+?)( from the template)?(?: and create the Pod again)?(?:; .*)?$`),
			(*mender).takeOut},
		{regexp.MustCompile(`^write (storageClassName: "") to choose among volumes made by hand$`),
			func(m *mender, key string, part []string) error {
				return m.fields(key, part[1])
			}},
		{regexp.MustCompile(`^write (.*) again$`), func(m *mender, key string,
			part []string) error {
			return m.fields(key, part[1])
		}},
		// in the place of what is there
		{regexp.MustCompile(`^write (.*)$`), func(m *mender, key string, part []string) error {
			if err := m.unset(key, cluster.SplitPath(m.finding.Field)); err != nil {
				return err
			}
			return m.fields(key, part[1])
		}},
		{regexp.MustCompile(`^ask for (\S+)$`), func(m *mender, key string, part []string) error {
			return m.editManifest(key, func(fields map[string]any) error {
				return putAt(fields, []string{"spec", "resources", "requests"}, "storage", part[1])
			})
		}},
		{regexp.MustCompile(`^serviceName: (\S+), a Service with clusterIP: None(, publishNotReadyAddresses: true)?$`),
			func(m *mender, key string, part []string) error {
				if err := m.fields(key, "serviceName: "+part[1]); err != nil {
					return err
				}
				sts, err := tree(m.obj)
				if err != nil {
					return err
				}
				labels, err := at(sts, []string{"spec", "template", "metadata", "labels"})
				if err != nil {
					return err
				}
				svc, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "Service",
					"metadata": map[string]any{"name": part[1], "namespace": m.obj.GetNamespace()},
					"spec":     map[string]any{"clusterIP": "None", "selector": labels, "publishNotReadyAddresses": part[2] != ""}})
				if err != nil {
					return err
				}
				return m.add(string(svc))
			}},
		{regexp.MustCompile(`^keep (?:it|it as it was|".*")$`), (*mender).keep},
		{regexp.MustCompile(`^leave it out$`), func(m *mender, key string, _ []string) error {
			path := strings.TrimSuffix(m.finding.Field, ".metadata.name")
			return m.unset(key, cluster.SplitPath(path))
		}},
		{regexp.MustCompile(`^add (\S+): (\S+) to (?:spec\.)?selector and template$`),
			func(m *mender, key string, part []string) error {
				return m.editManifest(key, func(fields map[string]any) error {
					if err := putAt(fields, []string{"spec", "selector", "matchLabels"}, part[1], part[2]); err != nil {
						return err
					}
					return putAt(fields, []string{"spec", "template", "metadata", "labels"}, part[1], part[2])
				})
			}},
		{regexp.MustCompile(`^add to (\w+): (\{.*\})$`), func(m *mender, key string, part []string) error {
			return m.fields(key, part[1]+": ["+part[2]+"]")
		}},
		{regexp.MustCompile(`^move it to (.*)$`), func(m *mender, key string, part []string) error {
			if err := m.unset(key, volumePath(m.finding.Field)); err != nil {
				return err
			}
			return m.fields(key, part[1])
		}},
		{regexp.MustCompile(`^move env (\S+) above (\S+)$`), (*mender).moveEnv},
		{regexp.MustCompile(`^rename it: (.*)$`), func(m *mender, key string, part []string) error {
			// Of a name that no type has, nothing is left.
			_ = m.unset(key, cluster.SplitPath(m.finding.Field))
			return m.fields(key, part[1])
		}},
		{regexp.MustCompile(`^spec: (\{.*\}) in place of that of Service (\S+)$`),
			func(m *mender, _ string, part []string) error {
				key := m.named("Service", part[2])
				if err := m.unset(key, []string{"spec"}); err != nil {
					return err
				}
				return m.set(key, "", "spec", flow(part[1]))
			}},
		{regexp.MustCompile(`^([a-zA-Z]+: .*)$`), func(m *mender, key string,
			part []string) error {
			return m.fields(key, part[1])
		}},
	}
}

// flow reads YAML in flow style; what is none is nil.
func flow(text string) (value any) {
	_ = yaml.Unmarshal([]byte(text), &value)
	return value
}

// volumePath returns the path of the volume that a path leads into.
func volumePath(path string) []string {
	elems := cluster.SplitPath(path)
	if i := slices.Index(elems, "volumes"); i >= 0 && i+1 < len(elems) {
		return elems[:i+2]
	}
	return elems
}

func (m *mender) step(text string) error {
	for _, f := range forms {
		if part := f.text.FindStringSubmatch(text); part != nil {
			return f.do(m, keyOf(m.subject()), part)
		}
	}
	return errProse
}

// apply sends the manifest again, with the first of the other choices if so said.
func (m *mender) apply(key string, part []string) error {
	if part[1] != "" {
		elems := cluster.SplitPath(m.finding.Field)
		if err := m.editManifest(key, func(fields map[string]any) error {
			return putAt(fields, elems[:len(elems)-1], elems[len(elems)-1], m.choice)
		}); err != nil {
			return err
		}
	}
	if m.objects[key] == nil {
		m.objects[key] = m.obj
	}
	if m.old == nil {
		m.objects[key] = m.obj
	}
	return nil
}

// moveEnv puts the definition of a variable above that of another, in the container
// that the path leads through.
func (m *mender) moveEnv(key string, part []string) error {
	elems := cluster.SplitPath(m.finding.Field)
	place := elems[:slices.Index(elems, "env")]
	return m.editManifest(key, func(fields map[string]any) error {
		c, err := at(fields, place)
		if err != nil {
			return err
		}
		list, _ := c["env"].([]any)
		index := func(name string) int {
			return slices.IndexFunc(list, func(e any) bool { return itemName(e) == name })
		}
		from, to := index(part[1]), index(part[2])
		if from < 0 || to < 0 {
			return fmt.Errorf("no env %s or %s", part[1], part[2])
		}
		moved := list[from]
		c["env"] = slices.Insert(slices.Delete(list, from, from+1), to, moved)
		return nil
	})
}

// takeOut removes what a remedy names: "it", a label, or a field on the way to
// the path or in the template.
func (m *mender) takeOut(key string, part []string) error {
	label, what, template := part[1] != "", part[2], part[3] != ""
	path := cluster.SplitPath(m.finding.Field)
	switch {
	case label && template:
		path = []string{"spec", "template", "metadata", "labels", what}
	case label:
		path = []string{"metadata", "labels", what}
	case template:
		path = []string{"spec", "template", "spec", what}
	case what != "it":
		places := placesOf(m.subject(), path, what)
		if len(places) == 0 {
			return errProse
		}
		path = append(places[0], what)
	default:
		path = cluster.SplitPath(strings.TrimSuffix(m.finding.Field, ".metadata.name")) // of an item, all of it
	}
	return m.unset(key, path)
}

// takeKeys removes keys beside the one that the path leads to, or "it", an
// expression.
func (m *mender) takeKeys(key string, part []string) error {
	path := cluster.SplitPath(m.finding.Field)
	if part[1] == "it" {
		return m.unset(key, path)
	}
	for name := range strings.SplitSeq(part[1], " and ") {
		if err := m.unset(key, append(slices.Clone(path[:len(path)-1]), name)); err != nil {
			return err
		}
	}
	return nil
}

// keep puts back what was at the path.
func (m *mender) keep(key string, _ []string) error {
	if m.old == nil {
		return errors.New("there was nothing to keep")
	}
	was, err := tree(m.old)
	if err != nil {
		return err
	}
	path := cluster.SplitPath(m.finding.Field)
	for n := len(path); n > 0; n-- { // what the whole list was, if items moved
		if _, err := strconv.Atoi(path[n-1]); err == nil {
			continue
		}
		before, err := at(was, path[:n-1])
		if err != nil {
			continue
		}
		return m.editManifest(key, func(fields map[string]any) error {
			into, err := at(fields, path[:n-1])
			if err != nil {
				return err
			}
			if before[path[n-1]] == nil {
				delete(into, path[n-1])
				return nil
			}
			into[path[n-1]] = before[path[n-1]]
			return nil
		})
	}
	return fmt.Errorf("nothing at %s", m.finding.Field)
}

var (
	inObject = regexp.MustCompile(`^ in (?:(PersistentVolume|Service|PodDisruptionBudget|StorageClass) (\S+?)|the ` +
		`claim|the template's spec|(a container))(, without .*)?$`)
	withoutMore = regexp.MustCompile(`^(?:, without| and no) (\w+)$`)
	fieldKey    = regexp.MustCompile(`^([a-zA-Z]+): `)
)

// fields writes fields: "a: 1, b: {c: 2} in Service db, without d".
func (m *mender) fields(key, text string) error {
	type pair struct {
		name  string
		value any
	}
	var pairs []pair
	path := m.finding.Field
	for {
		k := fieldKey.FindStringSubmatch(text)
		if k == nil {
			return errProse
		}
		rest := text[len(k[0]):]
		end, in := len(rest), nested(rest)
		for i := range rest {
			if !in[i] && (rest[i] == ' ' || rest[i] == ',') {
				end = i
				break
			}
		}
		var value any
		if err := yaml.Unmarshal([]byte(rest[:end]), &value); err != nil {
			return fmt.Errorf("%s: %w", rest[:end], err)
		}
		pairs = append(pairs, pair{k[1], value})
		text = rest[end:]
		more, ok := strings.CutPrefix(text, ", ")
		if !ok || !fieldKey.MatchString(more) {
			break
		}
		text = more
	}
	if in := inObject.FindStringSubmatch(text); in != nil {
		text = in[4]
		if in[1] != "" {
			key, path = m.named(in[1], in[2]), "spec"
		}
		if in[3] != "" {
			path = "spec.template.spec.containers[0]"
		}
	}
	for _, p := range pairs {
		if err := m.set(key, path, p.name, p.value); err != nil {
			return err
		}
	}
	if without := withoutMore.FindStringSubmatch(text); without != nil {
		return m.unset(key, []string{"spec", without[1]})
	}
	if text != "" {
		return errProse
	}
	return nil
}
