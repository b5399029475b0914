// Package config reads the configuration file of Stayput: modes, levels, exemptions
// and what is retained.
package config

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation"

	"stayput.dev/cluster"
	"stayput.dev/internal/pattern"
	"stayput.dev/mutators"
	"stayput.dev/validators"
)

// configuration is the file given with --config.
type configuration struct {
	APIVersion       string            `yaml:"apiVersion"`
	Kind             string            `yaml:"kind"`
	Mode             validators.Mode   `yaml:"mode"`
	AllowedModes     []validators.Mode `yaml:"allowedModes"`
	Rules            map[string]string `yaml:"rules"`
	Mutators         map[string]string `yaml:"mutators"`
	Exemptions       []exemption       `yaml:"exemptions"`
	ForbidExemptions []string          `yaml:"forbidExemptions"`
	Deletions        struct {
		Callers []caller `yaml:"callers"`
	} `yaml:"deletions"`
	Retain        cluster.Retain `yaml:"retain"`
	Repair        Repair         `yaml:"repair"`
	ClusterDomain string         `yaml:"clusterDomain"`
}

// A Repair says which volumes are repaired: set to the reclaim policy that they
// should have, because no webhook answered when they were created.
type Repair string

// What is repaired.
const (
	RepairOff    Repair = "off"    // none
	RepairReport Repair = "report" // none; what would be done is reported
	RepairNew    Repair = "new"    // those made since Stayput's first start
	RepairAll    Repair = "all"    // those from before, too
)

type exemption struct {
	Rule      string `yaml:"rule"`
	Namespace string `yaml:"namespace"`
	Kind      string `yaml:"kind"`
	Name      string `yaml:"name"`
	User      string `yaml:"user"`
	Reason    string `yaml:"reason"`
}

// A caller is written as the name of a user alone, or with what it deletes.
type caller validators.Caller

// UnmarshalYAML reads both. It names the key that it does not know itself, for
// the decoder does not look into what another reads.
func (c *caller) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.MappingNode {
		return node.Decode(&c.User)
	}
	for i := 0; i < len(node.Content); i += 2 {
		var into *string
		switch key := node.Content[i]; key.Value {
		case "user":
			into = &c.User
		case "namespace":
			into = &c.Namespace
		case "kind":
			into = &c.Kind
		default:
			return fmt.Errorf("line %d: field %s not found: a caller has user, namespace and kind", key.Line, key.Value)
		}
		if *into != "" {
			return fmt.Errorf("line %d: field %s is there twice", node.Content[i].Line, node.Content[i].Value)
		}
		if err := node.Content[i+1].Decode(into); err != nil {
			return err
		}
	}
	return nil
}

const (
	configAPIVersion = "stayput.dev/v1alpha1"
	configKind       = "Configuration"
)

// Settings are the result of a configuration.
type Settings struct {
	Policy      *validators.Policy
	Mutators    []*mutators.Mutator
	Environment cluster.Environment // without its readers
	Repair      Repair
}

// Load reads the configuration from a file, or takes the defaults where
// there is none. Errors name the file and the field.
func Load(file string) (Settings, error) {
	c := configuration{APIVersion: configAPIVersion, Kind: configKind}
	if file == "" {
		return c.resolve()
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return Settings{}, fmt.Errorf("--config: %w", err)
	}
	return Parse(file, data)
}

// Parse is Load of what the file holds.
func Parse(file string, data []byte) (Settings, error) {
	var c configuration
	decoder := yaml.NewDecoder(bytes.NewReader(data)) // YAML 1.2, in which off is a word
	decoder.KnownFields(true)
	if err := decoder.Decode(&c); err != nil {
		return Settings{}, fmt.Errorf("--config %s: %s", file, plain(err))
	}
	if c.APIVersion != configAPIVersion || c.Kind != configKind {
		return Settings{}, fmt.Errorf("--config %s: apiVersion and kind are %q and %q: must be %s and %s", file, c.APIVersion,
			c.Kind, configAPIVersion, configKind)
	}
	s, err := c.resolve()
	if err != nil {
		return Settings{}, fmt.Errorf("--config %s: %w", file, err)
	}
	return s, nil
}

// plain removes from an error what the decoder says about itself.
func plain(err error) string {
	s := strings.TrimPrefix(err.Error(), "yaml: ")
	s = strings.ReplaceAll(s, "unmarshal errors:\n  ", "")
	return typeName().ReplaceAllString(s, "")
}

var typeName = pattern.Lazy(` in type \S+`)

func (c configuration) resolve() (Settings, error) {
	levels := make(map[string]validators.Level, len(c.Rules))
	for _, name := range slices.Sorted(maps.Keys(c.Rules)) {
		var level validators.Level
		if err := level.UnmarshalText([]byte(c.Rules[name])); err != nil {
			return Settings{}, fmt.Errorf("rules: %s: %w", name, err)
		}
		levels[name] = level
	}
	every := slices.Concat(validators.All, validators.OfManifests)
	rules, err := validators.Select(every, levels)
	if err != nil {
		return Settings{}, fmt.Errorf("rules: %w", err)
	}
	live, ofManifests := validators.Split(rules)
	policy := &validators.Policy{
		Rules:            live,
		OfManifests:      ofManifests,
		Mode:             c.Mode,
		AllowedModes:     c.AllowedModes,
		ForbidExemptions: c.ForbidExemptions,
	}
	if c.Mode != "" && !slices.Contains(validators.Modes(), c.Mode) {
		return Settings{}, fmt.Errorf("mode: %q: must be one of %q", c.Mode, validators.Modes())
	}
	if c.AllowedModes == nil {
		policy.AllowedModes = []validators.Mode{validators.ModeWarn, validators.ModeEnforce}
	}
	for _, m := range c.AllowedModes {
		if !slices.Contains(validators.Modes(), m) {
			return Settings{}, fmt.Errorf("allowedModes: %q: must be one of %q", m, validators.Modes())
		}
	}
	for _, name := range c.ForbidExemptions {
		if !slices.ContainsFunc(every, func(r *validators.Rule) bool { return r.Name == name }) {
			return Settings{}, fmt.Errorf("forbidExemptions: no rule is called %q", name)
		}
	}
	for _, e := range c.Exemptions {
		v := validators.Exemption(e)
		if err := v.Validate(every); err != nil {
			return Settings{}, fmt.Errorf("exemptions: %w", err)
		}
		policy.Exemptions = append(policy.Exemptions, v)
	}
	for _, dc := range c.Deletions.Callers {
		v := validators.Caller(dc)
		if err := v.Validate(); err != nil {
			return Settings{}, fmt.Errorf("deletions.callers: %w", err)
		}
		policy.DeletionCallers = append(policy.DeletionCallers, v)
	}
	ms, err := c.selectMutators()
	if err != nil {
		return Settings{}, err
	}
	retains := []cluster.Retain{"", cluster.RetainStatefulSets, cluster.RetainOwned, cluster.RetainAll, cluster.RetainOff}
	if !slices.Contains(retains, c.Retain) {
		return Settings{}, fmt.Errorf("retain: %q: must be one of %q", c.Retain, retains[1:])
	}
	repairs := []Repair{RepairOff, RepairReport, RepairNew, RepairAll}
	c.Repair = cmp.Or(c.Repair, RepairNew)
	if !slices.Contains(repairs, c.Repair) {
		return Settings{}, fmt.Errorf("repair: %q: must be one of %q", c.Repair, repairs)
	}
	if c.ClusterDomain != "" {
		if errs := validation.IsDNS1123Subdomain(c.ClusterDomain); len(errs) > 0 {
			return Settings{}, fmt.Errorf("clusterDomain: %q: %s", c.ClusterDomain, strings.Join(errs, ", "))
		}
	}
	environment := cluster.Environment{Retain: c.Retain, ClusterDomain: c.ClusterDomain}
	if c.Mutators["volume-retain"] == "off" {
		environment.Retain = cluster.RetainOff // nothing retains, and no rule may rely on it
	}
	return Settings{policy, ms, environment, c.Repair}, nil
}

func (c configuration) selectMutators() ([]*mutators.Mutator, error) {
	for name, state := range c.Mutators {
		if !slices.ContainsFunc(mutators.All, func(m *mutators.Mutator) bool { return m.Name == name }) {
			return nil, fmt.Errorf("mutators: no mutator is called %q", name)
		}
		if state != "on" && state != "off" {
			return nil, fmt.Errorf("mutators: %s: %q: must be on or off", name, state)
		}
	}
	return slices.DeleteFunc(slices.Clone(mutators.All),
		func(m *mutators.Mutator) bool { return c.Mutators[m.Name] == "off" }), nil
}
