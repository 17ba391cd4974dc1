package config

import "reflect"

// reloadable are the keys that SIGHUP changes. Everything else needs a restart.
var reloadable = map[string]bool{"log.level": true, "policy.file": true, "trust.file": true, "retention.file": true, "retention.ignore": true, "mirrors.file": true}

// Reload takes over from next what can change while a server runs, and returns the keys that differ beside that: they need
// a restart.
func (c *Config) Reload(next Config) (needRestart []string) {
	is := map[string]any{}
	// Neither function fails.
	_ = eachKey(reflect.ValueOf(&next).Elem(), "", func(key string, field reflect.Value) error {
		is[key] = field.Interface()
		return nil
	})
	_ = eachKey(reflect.ValueOf(c).Elem(), "", func(key string, was reflect.Value) error {
		if !reloadable[key] && !reflect.DeepEqual(was.Interface(), is[key]) {
			needRestart = append(needRestart, key)
		}
		return nil
	})
	c.Log.Level, c.Policy, c.Trust, c.Mirrors = next.Log.Level, next.Policy, next.Trust, next.Mirrors
	c.Retention.PullConfig, c.Retention.File = next.Retention.PullConfig, next.Retention.File
	return needRestart
}
