package main

import (
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/keyring"
)

// What these tests look for, and damage, in a data directory.
const (
	storeFile      = datadir.StoreFile
	blobsDir       = datadir.BlobsDir
	certsDir       = datadir.CertsDir
	keysDir        = datadir.KeysDir
	socketFile     = datadir.SocketFile
	keptKeyFile    = datadir.KeptKeyFile
	bearerKeyFile  = datadir.BearerKeyFile
	checkpointFile = keyring.CheckpointFile
)
