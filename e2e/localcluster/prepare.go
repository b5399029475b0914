package localcluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/kubernetes"
)

// prepare makes all that is needed before the first process starts.
func (c *Cluster) prepare() (err error) {
	if c.ports, err = choosePorts(); err != nil {
		return err
	}
	if c.sweeper, err = newSweeper(); err != nil {
		return err
	}
	c.spawner = newSpawner()
	defer func() {
		if err != nil {
			c.spawner.stop()
			err = errors.Join(err, c.sweeper.sweep())
		}
	}()
	if err := c.makeDir(); err != nil {
		return err
	}
	ca, err := newAuthority()
	if err != nil {
		return fmt.Errorf("make a certificate authority: %w", err)
	}
	c.health = healthClient(ca)
	if err := errors.Join(c.writeKeys(ca), c.writeKubeconfigs(ca), c.writeConfig()); err != nil {
		return err
	}
	if c.config, err = c.adminConfig(); err != nil {
		return err
	}
	c.client, err = kubernetes.NewForConfig(c.config)
	return err
}

// makeDir sets c.dir. Each attempt to start has a fresh directory.
func (c *Cluster) makeDir() (err error) {
	if c.options.Dir == "" {
		if c.dir, err = os.MkdirTemp("", "localcluster-"); err != nil {
			return err
		}
		return c.sweeper.add(c.dir)
	}
	if c.dir, err = filepath.Abs(c.options.Dir); err != nil {
		return err
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(c.dir)
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("directory %s must be empty", c.dir)
	}
	return err
}

// empty removes what an attempt to start has left in a directory that is kept.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
	}
	return err
}
