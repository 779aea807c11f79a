from .camera import back_project

__all__ = ['back_project']
