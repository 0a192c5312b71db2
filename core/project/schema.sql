-- Quadrat's own tables, schema version 1. The feature table `tiles` comes later, from GDAL.
-- Every table has an integer primary key, so that each is a GeoPackage attributes table that any GIS can open.

CREATE TABLE quadrat (
    id INTEGER PRIMARY KEY,
    "key" TEXT NOT NULL UNIQUE,
    value TEXT
);

-- A row here is the commit marker of a raster's tiles: tiles without it are the rest of a run that was killed.
CREATE TABLE rasters (
    raster_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,            -- file name without folder and ending
    path TEXT NOT NULL,
    path_relative TEXT,            -- from the project's folder, with forward slashes; NULL on another drive
    bands TEXT NOT NULL,           -- JSON [["B02", 1], ...]: band name, 1-based index in the file
    scale REAL NOT NULL,
    "offset" REAL NOT NULL,
    nodata REAL,
    crs TEXT NOT NULL,             -- WKT
    transform TEXT NOT NULL,       -- JSON [a, b, c, d, e, f] of x = a col + b row + c, y = d col + e row + f
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    tile_size INTEGER NOT NULL,
    stride INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    file_size INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    dtype TEXT NOT NULL,
    added_at DATETIME NOT NULL
);

CREATE TABLE classes (
    class_id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice: the history refers to it
    name TEXT NOT NULL UNIQUE,
    colour TEXT NOT NULL,
    "key" TEXT NOT NULL,
    position INTEGER NOT NULL
);

CREATE TABLE rounds (
    round_id INTEGER PRIMARY KEY AUTOINCREMENT,
    strategy TEXT NOT NULL,
    parameters TEXT NOT NULL,      -- JSON object
    seed INTEGER,
    encoder TEXT,
    budget INTEGER NOT NULL,
    created_at DATETIME NOT NULL,
    metrics TEXT NOT NULL          -- JSON object
);

CREATE TABLE queries (
    query_id INTEGER PRIMARY KEY,
    round_id INTEGER NOT NULL REFERENCES rounds (round_id),
    tile_id INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    score REAL,
    reason TEXT NOT NULL,
    UNIQUE (round_id, tile_id)
);
CREATE INDEX queries_by_tile ON queries (tile_id);

-- What happened, in order. An `answer` event says what an analyst said about one tile; events of one call share a
-- batch. An `undo` or `redo` event names the batch that it takes back or restores.
CREATE TABLE label_events (
    event_id INTEGER PRIMARY KEY AUTOINCREMENT,
    action TEXT NOT NULL CHECK (action IN ('answer', 'undo', 'redo')),
    batch INTEGER NOT NULL,
    tile_id INTEGER,
    answer TEXT CHECK (answer IN ('classes', 'none', 'skip', 'unsure', 'clear')),
    class_ids TEXT,                -- JSON [class_id, ...], ascending
    annotator TEXT NOT NULL,
    answered_at DATETIME NOT NULL,
    seconds REAL,
    round_id INTEGER REFERENCES rounds (round_id),
    source TEXT NOT NULL,
    CHECK ((action = 'answer') = (tile_id IS NOT NULL)),
    CHECK ((action = 'answer') = (answer IS NOT NULL)),
    CHECK ((action = 'answer') = (class_ids IS NOT NULL))
);
CREATE INDEX label_events_by_tile ON label_events (tile_id);
CREATE INDEX label_events_by_batch ON label_events (batch);

CREATE TRIGGER label_events_keep_updated BEFORE UPDATE ON label_events
BEGIN SELECT RAISE(ABORT, 'label_events is append-only'); END;
CREATE TRIGGER label_events_keep_deleted BEFORE DELETE ON label_events
BEGIN SELECT RAISE(ABORT, 'label_events is append-only'); END;
-- INSERT OR REPLACE removes the old row without asking the trigger above.
CREATE TRIGGER label_events_keep_replaced BEFORE INSERT ON label_events
WHEN EXISTS (SELECT 1 FROM label_events WHERE event_id = NEW.event_id)
BEGIN SELECT RAISE(ABORT, 'label_events is append-only'); END;

-- The current answers: always what a replay of label_events gives. One row per tile and class; one row without
-- class for none, skip and unsure.
CREATE TABLE labels (
    id INTEGER PRIMARY KEY,
    tile_id INTEGER NOT NULL,
    class_id INTEGER REFERENCES classes (class_id),
    answer TEXT NOT NULL CHECK (answer IN ('classes', 'none', 'skip', 'unsure')),
    n_classes INTEGER NOT NULL,    -- of the tile; stored, because GDAL takes a computed column of a view for text
    event_id INTEGER NOT NULL REFERENCES label_events (event_id),
    CHECK ((answer = 'classes') = (class_id IS NOT NULL)),
    UNIQUE (tile_id, class_id)
);
CREATE INDEX labels_by_class ON labels (class_id);

-- Only rows of the generation named in quadrat.prediction_generation count; others are being written or removed.
CREATE TABLE predictions (
    prediction_id INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    tile_id INTEGER NOT NULL,
    probability REAL NOT NULL,
    uncertainty REAL NOT NULL,
    n_classes INTEGER NOT NULL,
    UNIQUE (tile_id, generation)
);
CREATE INDEX predictions_by_generation ON predictions (generation);

CREATE TABLE prediction_classes (
    id INTEGER PRIMARY KEY,
    prediction_id INTEGER NOT NULL REFERENCES predictions (prediction_id) ON DELETE CASCADE,
    class_id INTEGER NOT NULL REFERENCES classes (class_id) ON DELETE CASCADE,
    probability REAL NOT NULL,
    UNIQUE (prediction_id, class_id)
);
CREATE INDEX prediction_classes_by_class ON prediction_classes (class_id);
