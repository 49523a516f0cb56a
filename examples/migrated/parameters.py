"""Training with parameters from everywhere: the command line, a dictionary, an object, one by one."""

import argparse

from atrains import Task


class Augmentation(object):
    def __init__(self):
        self.flip = True
        self.angle = 15
        self.crops = [0.8, 0.9]


def main():
    parser = argparse.ArgumentParser(description="an example of parameters")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="input batch size")
    parser.add_argument("--epochs", type=int, default=10, metavar="N")
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--no-cuda", action="store_true", default=False)
    parser.add_argument("--layers", nargs="+", type=int, default=[64, 32])
    parser.add_argument("--optimizer", choices=["sgd", "adam"], default="sgd")
    parser.add_argument("dataset")

    task = Task.init("migrated", "parameters")

    args = parser.parse_args()

    params = {"dropout": 0.25, "activation": "relu", "seed": 1, "schedule": {"step": 5, "gamma": 0.5}}
    params = task.connect(params)
    params["seed"] = 42  # changes are seen, too

    augmentation = Augmentation()
    task.connect(augmentation)

    # all at once replaces all of them, so what is there is taken along; one by one adds to them
    everything = task.get_parameters()
    everything["General/owner"] = "somebody"
    task.set_parameters(everything)
    task.set_parameter("General/steps", args.epochs * 100)

    loss = 1.0
    for epoch in range(args.epochs):
        loss = loss * (1 - args.lr) * (params["schedule"]["gamma"] if epoch and epoch % params["schedule"]["step"] == 0 else 1)
        task.get_logger().report_scalar("loss", "train", loss, epoch)
    print("trained on %s with %s, layers %s, loss %.4f" % (args.dataset, args.optimizer, args.layers, loss))
    print("dropout is", task.get_parameter("General/dropout"), "and missing is", task.get_parameter("missing", "a default"))


if __name__ == "__main__":
    main()
