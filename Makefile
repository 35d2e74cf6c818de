# make demo   writes results/demo.mp4 and results/demo_panel.mp4
# make app    opens the page in the browser: http://127.0.0.1:7860
# make test   runs the tests
# make tables STORE=store/grid.h5 SPLITS=DIR   measures the shipped weights: docs/results.md; NOISE=store/noise.h5, WILD=store/wild.h5, too
# make speech STORE=store/grid.h5 SPLITS=DIR   measures lip-to-speech's shipped weights: docs/speech.md; WHISPER=WHEEL, too
# make words WORDS=store/words.h5   measures the shipped lip reader: docs/words.md; NOISE=, and STORE= and SPLITS= of sentences, too
# make memory WORDS=store/words.h5   trains lip readers with and without a memory: docs/memory.md
# make motion WILD=store/wild.h5 PEOPLE=people.txt   trains head motion without each person in turn: docs/motion.md
# make figures STORE=store/grid.h5 SPLITS=DIR   draws faces by the shipped weights: docs/faces.md
# make ablation STORE=store/grid.h5 SPLITS=DIR   trains the networks with parts missing: docs/ablation*.md
# make rendering WILD=store/wild_static.h5 PEOPLE=people.txt KNOWN=store/grid_static.h5 SPLITS=DIR   measures the renderer: docs/rendering.md
# make fuzz MINUTES=30   feeds damaged files to every reader of files
# make lint   checks style; make format mends what can be mended
# make clean  removes the environment and caches, never results or weights
# The first of them makes the environment .venv, from wheels alone. Another Python: make demo PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
STORE ?= store/grid.h5
MINUTES ?= 2
WORDS ?= store/words.h5
BIN := $(VENV)/bin

.PHONY: demo app test fuzz tables speech words memory motion rendering figures ablation lint format clean

demo: $(VENV)/.installed
	$(BIN)/python demo.py --panel

app: $(VENV)/.installed
	$(BIN)/python app.py

test: $(VENV)/.installed
	$(BIN)/python -m pytest -q

fuzz: $(VENV)/.installed
	$(BIN)/python -m tests.hostile.fuzz --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

tables: $(VENV)/.installed
	$(BIN)/python -m reports.tables --dataset_dir $(STORE) $(if $(SPLITS),--splits $(SPLITS)) $(if $(NOISE),--noise $(NOISE)) $(if $(WILD),--wild $(WILD)) \
		$(if $(LARGER),--larger $(LARGER))

speech: $(VENV)/.installed
	$(BIN)/python -m reports.speech --dataset_dir $(STORE) $(if $(SPLITS),--splits $(SPLITS)) $(if $(WHISPER),--whisper $(WHISPER))

words: $(VENV)/.installed
	$(BIN)/python -m reports.reading --dataset_dir $(WORDS) $(if $(NOISE),--noise $(NOISE)) $(if $(SPLITS),--sentences $(STORE) --splits $(SPLITS)) \
		$(if $(ALIGN),--align $(ALIGN))

memory: $(VENV)/.installed
	$(BIN)/python -m reports.memory --dataset_dir $(WORDS)

motion: $(VENV)/.installed
	$(BIN)/python -m reports.motion --dataset_dir $(or $(WILD),store/wild.h5) $(if $(PEOPLE),-people $(PEOPLE))

rendering: $(VENV)/.installed
	$(BIN)/python -m reports.rendering --dataset_dir $(or $(WILD),store/wild_static.h5) $(if $(PEOPLE),-people $(PEOPLE)) \
		$(if $(KNOWN),-known $(KNOWN)) $(if $(SPLITS),--splits $(SPLITS))

figures: $(VENV)/.installed
	$(BIN)/python -m reports.figures --dataset_dir $(STORE) $(if $(SPLITS),--splits $(SPLITS))

ablation: $(VENV)/.installed
	$(BIN)/python -m reports.ablation --dataset_dir $(STORE) $(if $(SPLITS),--splits $(SPLITS))

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# face_recognition_models exists as a source archive only; it holds no code to compile.
$(VENV)/.installed: requirements.txt requirements-train.txt requirements-app.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --only-binary=:all: --no-binary=face_recognition_models \
		-r requirements.txt -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
