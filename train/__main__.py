"""Run the command line as a module: `torchrun … -m in21k.train pretrain …`."""

from in21k.train.cli.main import main

if __name__ == "__main__":
    main()
