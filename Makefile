# Needs git, make and Python 3.11 or newer, on Debian; the lab needs root too. Everything else is set up below .venv and .build.

TOOLS := PYTHONPATH=tests python3 -m tools

.PHONY: help demo picture test lint generate model pairs unit integration soak vm-soak bench bench-scale collection clean

help:  ## say what there is
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p' Makefile | expand -t 14

demo:  ## deploy the example flake to three hosts of the lab, twice
	@$(TOOLS) demo

picture:  ## draw docs/deploy-flake.svg again: the command's table, deploying to three hosts of the lab
	@$(TOOLS) picture

test:  ## every check and every test, with every ansible-core and every Python there is
	@$(TOOLS) test

lint:  ## the checks alone
	@$(TOOLS) lint

generate:  ## write what is made from others: the role's variables, the command's flags, return values, their tables
	@$(TOOLS) generate

model:  ## the model of the protocol, docs/model, checked by SPIN
	@$(TOOLS) model

pairs:  ## the tests with the pairs of ansible-core and Python that `make test` leaves out
	@$(TOOLS) pairs

unit:  ## the unit tests alone, with the newest ansible-core and Python
	@$(TOOLS) unit

integration:  ## the tests on the lab's hosts alone, with the newest ansible-core and Python
	@$(TOOLS) integration

soak:  ## deploys with a random fault each: make soak SEEDS=100
	@$(TOOLS) soak

vm-soak:  ## all tests on virtual machines, and deploys to them with a power cut each: make vm-soak SEEDS=20
	@$(TOOLS) vm-soak

bench:  ## how long deploys take beside the least that they could: make bench HOSTS="1 4" REPEAT=3 PEERS=deploy-rs EVALUATION=5
	@$(TOOLS) bench

bench-scale:  ## the controller's memory and time with many hosts: make bench-scale NAMES="50 500"
	@$(TOOLS) bench-scale

collection:  ## install the collection as it is now below .build/collections
	@$(TOOLS) collection

clean:  ## stop the lab, remove all that was set up
	@$(TOOLS) clean
